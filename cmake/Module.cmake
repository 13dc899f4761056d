# The module wall (ARCHITECTURE.md, "Layers"). A module sees only the public headers of the modules it names,
# and links only against them; both are checked here, by the compiler and by the linker:
#   - configure: a dependency's layer must be lower than the module's own;
#   - compile:   only include/ of the named modules is on the include path;
#   - link:      a closed copy of each module is linked with -z defs against the named modules alone.
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
  endforeach()

  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/src/*.c)
  list(APPEND sources ${M_SOURCES})
  add_library(${name} STATIC ${sources})
  set_target_properties(${name} PROPERTIES PENSTOCK_LAYER ${M_LAYER} POSITION_INDEPENDENT_CODE ON)
  target_include_directories(${name} PUBLIC include PRIVATE src)
  target_link_libraries(${name} PRIVATE penstock_flags ${M_LIBS} ${M_DEPS} PUBLIC ${M_PUBLIC_DEPS} ${M_PUBLIC_LIBS})

  if(PENSTOCK_CLOSED_LINK)
    add_library(${name}_closed MODULE ${sources})
    set_target_properties(${name}_closed PROPERTIES C_VISIBILITY_PRESET default)
    target_include_directories(${name}_closed PRIVATE include src)
    target_link_libraries(${name}_closed PRIVATE penstock_flags ${M_LIBS} ${M_PUBLIC_LIBS} ${M_DEPS} ${M_PUBLIC_DEPS})
    target_link_options(${name}_closed PRIVATE -Wl,-z,defs)
  endif()
endfunction()
