# Third-party libraries, all from Debian 12 by pkg-config name, as imported targets lib::<name>.
find_package(PkgConfig REQUIRED)
foreach(pair "uv=libuv" "hiredis=hiredis" "pq=libpq" "curl=libcurl" "jansson=jansson" "crypto=libcrypto" "pcre2=libpcre2-8"
             "config=libconfig" "z=zlib" "cmocka=cmocka")
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
target_include_directories(llhttp SYSTEM PUBLIC ${LLHTTP_DIR} ${LLHTTP_DIR}/../include/llhttp)
target_compile_definitions(llhttp PUBLIC LLHTTP_STRICT_MODE=1)
set_target_properties(llhttp PROPERTIES POSITION_INDEPENDENT_CODE ON C_CLANG_TIDY "")
add_library(lib::llhttp ALIAS llhttp)

# For each library a folder of headers that do not compile, for the modules that do not name it (Module.cmake).
set(PENSTOCK_UNDECLARED ${CMAKE_BINARY_DIR}/undeclared)
foreach(header "uv=uv.h" "hiredis=hiredis/hiredis.h" "hiredis=hiredis/async.h" "pq=libpq-fe.h" "curl=curl/curl.h" "jansson=jansson.h"
               "crypto=openssl/crypto.h" "crypto=openssl/evp.h" "crypto=openssl/hmac.h" "crypto=openssl/rand.h" "crypto=openssl/sha.h"
               "pcre2=pcre2.h" "config=libconfig.h" "z=zlib.h" "cmocka=cmocka.h")
  string(REPLACE "=" ";" header ${header})
  list(GET header 0 library)
  list(GET header 1 name)
  list(APPEND PENSTOCK_LIBRARIES ${library})
  file(CONFIGURE OUTPUT ${PENSTOCK_UNDECLARED}/${library}/${name}
       CONTENT "#error \"<${name}> needs lib::${library} among the LIBS of this module\"\n")
endforeach()
list(REMOVE_DUPLICATES PENSTOCK_LIBRARIES)
