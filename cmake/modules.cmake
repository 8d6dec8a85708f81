# The list of C modules for Lua, made from the file names lua/bind/l_<name>.c. It declares
# each luaopen function, so that a binding needs no prototype and is visible in flowrun.so.
function(flowrun_module_list output)
  set(rows "")
  set(prototypes "")
  foreach(source ${ARGN})
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "^l_" "" name ${name})
    string(APPEND rows " \\\n    X(${name})")
    string(APPEND prototypes
      "__attribute__((visibility(\"default\"))) int luaopen_flowrun_core_${name}(lua_State *L);\n")
  endforeach()
  file(CONFIGURE OUTPUT ${output} CONTENT
"#pragma once
// Generated from the names of lua/bind/l_*.c. X(name) for each module flowrun.core.<name>.

#include <lua.h>

#define BIND_MODULES(X)${rows}

${prototypes}" @ONLY)
endfunction()
