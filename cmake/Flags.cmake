# Warnings are errors; release carries the hardening flags that gcc 12 knows (OpenSSF C/C++ compiler options guide).
add_library(penstock_flags INTERFACE)
target_compile_definitions(penstock_flags INTERFACE _GNU_SOURCE PENSTOCK_VERSION="${PROJECT_VERSION}"
  $<$<BOOL:${PENSTOCK_FAULTS}>:PENSTOCK_FAULTS=1>)
target_compile_options(penstock_flags INTERFACE
  -Wall -Wextra -Werror -Wformat=2 -Wconversion -Wshadow -Wstrict-prototypes
  -Wmissing-prototypes -Wold-style-definition -Wcast-align -Wnested-externs -Wvla -Wswitch-enum -Wundef
  -Wnull-dereference -Wpointer-arith -Wwrite-strings -Werror=format-security
  -Werror=implicit -Werror=incompatible-pointer-types -Werror=int-conversion
  $<$<C_COMPILER_ID:GNU>:-Wimplicit-fallthrough=5 -Wlogical-op -Wtrampolines -Wbidi-chars=any> # clang, for fuzzing, has others
  $<$<CONFIG:Debug>:-Wno-maybe-uninitialized> # -O1 sees paths that are not there; release judges
  -fno-delete-null-pointer-checks -fno-strict-overflow -fno-strict-aliasing -fno-common)
set(release "$<CONFIG:Release,RelWithDebInfo>")
target_compile_options(penstock_flags INTERFACE
  $<${release}:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection -fcf-protection=full
  -ftrivial-auto-var-init=zero>)
target_link_options(penstock_flags INTERFACE
  $<${release}:-Wl,-z,noexecstack -Wl,-z,relro -Wl,-z,now -Wl,--as-needed -Wl,-z,nodlopen>)
if(PENSTOCK_SANITIZE)
  target_compile_options(penstock_flags INTERFACE -fsanitize=${PENSTOCK_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(penstock_flags INTERFACE -fsanitize=${PENSTOCK_SANITIZE})
endif()
