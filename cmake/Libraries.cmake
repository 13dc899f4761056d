# Third-party libraries, all from Debian 12 by pkg-config name, as imported targets lib::<name>.
find_package(PkgConfig REQUIRED)
foreach(pair "uv=libuv" "hiredis=hiredis" "pq=libpq" "curl=libcurl" "jansson=jansson" "crypto=libcrypto" "pcre2=libpcre2-8"
             "config=libconfig" "cmocka=cmocka")
  string(REPLACE "=" ";" pair ${pair})
  list(GET pair 0 name)
  list(GET pair 1 module)
  pkg_check_modules(${name} REQUIRED IMPORTED_TARGET GLOBAL ${module})
  add_library(lib::${name} ALIAS PkgConfig::${name})
endforeach()

# llhttp ships as C source in Debian's node-llhttp. Strict mode refuses what lenient parsers let through.
set(LLHTTP_DIR /usr/share/llhttp CACHE PATH "generated llhttp sources (Debian: node-llhttp)")
if(NOT EXISTS ${LLHTTP_DIR}/llhttp.c)
  message(FATAL_ERROR "llhttp.c not found in ${LLHTTP_DIR}: install node-llhttp (ops/setup does)")
endif()
add_library(llhttp STATIC ${LLHTTP_DIR}/api.c ${LLHTTP_DIR}/http.c ${LLHTTP_DIR}/llhttp.c)
target_include_directories(llhttp SYSTEM PUBLIC ${LLHTTP_DIR})
target_compile_definitions(llhttp PUBLIC LLHTTP_STRICT_MODE=1)
set_target_properties(llhttp PROPERTIES POSITION_INDEPENDENT_CODE ON C_CLANG_TIDY "")
add_library(lib::llhttp ALIAS llhttp)
