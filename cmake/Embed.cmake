# Text files inside the binary. penstock_embed(module file…) makes <file's name>.inc, one C string literal, for the module's sources:
#   static const char ddl[] =
#   #include "orders.sql.inc"
#       ;
# It can be pasted to other literals. Run with -P it is the step that writes one such file (IN, OUT).
if(CMAKE_SCRIPT_MODE_FILE)
  file(READ "${IN}" hex HEX)
  string(REGEX REPLACE "(..)" "\\\\x\\1" text "${hex}")
  file(WRITE "${OUT}" "\"${text}\"\n")
  return()
endif()

set(PENSTOCK_EMBED_SCRIPT ${CMAKE_CURRENT_LIST_FILE})

function(penstock_embed module)
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/embed)
  file(MAKE_DIRECTORY ${folder})
  foreach(file ${ARGN})
    get_filename_component(name ${file} NAME)
    set(in ${CMAKE_CURRENT_SOURCE_DIR}/${file})
    set(out ${folder}/${name}.inc)
    add_custom_command(OUTPUT ${out} COMMAND ${CMAKE_COMMAND} -DIN=${in} -DOUT=${out} -P ${PENSTOCK_EMBED_SCRIPT}
      DEPENDS ${in} ${PENSTOCK_EMBED_SCRIPT} VERBATIM)
    list(APPEND made ${out})
  endforeach()
  foreach(target ${module} ${module}_closed)
    if(TARGET ${target})
      target_sources(${target} PRIVATE ${made})
      target_include_directories(${target} PRIVATE ${folder})
    endif()
  endforeach()
endfunction()
