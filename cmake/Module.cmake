# The module wall (ARCHITECTURE.md, "Layers"). A module sees only the public headers of the modules it names and of the
# libraries it names, and links only against them; the compiler and the linker check it (tests/wall):
#   - configure: a dependency's layer must be lower than the module's own;
#   - compile:   only include/ of the named modules is on the include path, and in front of it, for each library that is not
#                named, a folder whose headers of the same names are errors (they would be found in /usr/include otherwise);
#   - link:      with PENSTOCK_CLOSED_LINK a shared copy of each module, <name>_closed, is linked with -z defs against the
#                shared copies of the modules that it names alone; what those use themselves does not count.
#
# penstock_module(NAME LAYER n [DEPS module…] [PUBLIC_DEPS module…] [LIBS target…] [PUBLIC_LIBS target…])
#   DEPS        modules used by the sources
#   PUBLIC_DEPS modules whose types appear in this module's public headers
#   LIBS        imported third-party targets; PUBLIC_LIBS when their types appear in public headers
# Sources are src/*.c, public headers include/, private headers src/*.h.

function(penstock_module name)
  cmake_parse_arguments(M "" "LAYER" "DEPS;PUBLIC_DEPS;LIBS;PUBLIC_LIBS;SOURCES" ${ARGN})
  foreach(dep ${M_DEPS} ${M_PUBLIC_DEPS})
    if(NOT TARGET ${dep})
      message(FATAL_ERROR "${name}: unknown module ${dep} (declare it before its users)")
    endif()
    get_target_property(dep_layer ${dep} PENSTOCK_LAYER)
    if(NOT dep_layer LESS M_LAYER)
      message(FATAL_ERROR "${name} (layer ${M_LAYER}) must not depend on ${dep} (layer ${dep_layer})")
    endif()
    get_target_property(libs ${dep} PENSTOCK_VISIBLE_LIBS)
    list(APPEND visible ${libs})
  endforeach()
  list(APPEND visible ${M_PUBLIC_LIBS}) # may be included; what public headers use is passed on

  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/src/*.c)
  list(APPEND sources ${M_SOURCES})
  if(NOT sources) # headers only
    add_library(${name} INTERFACE)
    set_target_properties(${name} PROPERTIES PENSTOCK_LAYER ${M_LAYER} PENSTOCK_VISIBLE_LIBS "${visible}")
    target_include_directories(${name} INTERFACE include)
    target_link_libraries(${name} INTERFACE ${M_PUBLIC_DEPS} ${M_PUBLIC_LIBS})
    if(PENSTOCK_CLOSED_LINK)
      add_library(${name}_closed INTERFACE)
      list(TRANSFORM M_PUBLIC_DEPS APPEND _closed)
      target_include_directories(${name}_closed INTERFACE include)
      target_link_libraries(${name}_closed INTERFACE ${M_PUBLIC_DEPS} ${M_PUBLIC_LIBS})
    endif()
    return()
  endif()
  add_library(${name} STATIC ${sources})
  set_target_properties(${name} PROPERTIES PENSTOCK_LAYER ${M_LAYER} PENSTOCK_VISIBLE_LIBS "${visible}" POSITION_INDEPENDENT_CODE ON)
  target_include_directories(${name} PUBLIC include PRIVATE src)
  target_link_libraries(${name} PRIVATE penstock_flags ${M_LIBS} ${M_DEPS} PUBLIC ${M_PUBLIC_DEPS} ${M_PUBLIC_LIBS})
  penstock_refuse_libraries(${name} ${M_LIBS} ${visible})

  if(PENSTOCK_CLOSED_LINK)
    add_library(${name}_closed SHARED ${sources})
    target_include_directories(${name}_closed PUBLIC include PRIVATE src)
    list(TRANSFORM M_DEPS APPEND _closed)
    list(TRANSFORM M_PUBLIC_DEPS APPEND _closed)
    target_link_libraries(${name}_closed PRIVATE penstock_flags ${M_LIBS} ${M_DEPS} PUBLIC ${M_PUBLIC_DEPS} ${M_PUBLIC_LIBS})
    target_link_options(${name}_closed PRIVATE -Wl,-z,defs -Wl,--no-copy-dt-needed-entries)
    penstock_refuse_libraries(${name}_closed ${M_LIBS} ${visible})
  endif()
endfunction()

# The headers of every library but the named ones are errors for this target.
function(penstock_refuse_libraries target)
  foreach(library ${PENSTOCK_LIBRARIES})
    if(NOT lib::${library} IN_LIST ARGN)
      target_include_directories(${target} BEFORE PRIVATE ${PENSTOCK_UNDECLARED}/${library})
    endif()
  endforeach()
endfunction()
