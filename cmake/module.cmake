# flowrun.so: the C modules for a stock lua5.4, whose all-in-one loader finds
# flowrun.core.<name> in it by the root name. It must not link liblua: the interpreter has it.
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/module.map CONTENT
"{ global: luaopen_flowrun_*; local: *; };
" @ONLY)
add_library(flowrun_module MODULE $<TARGET_OBJECTS:flowrun_bind>)
set_target_properties(flowrun_module PROPERTIES PREFIX "" OUTPUT_NAME flowrun)
target_link_libraries(flowrun_module PRIVATE flowrun_core)
# Its threads may outlive the state that loaded it, so it is never unloaded.
target_link_options(flowrun_module PRIVATE -Wl,-z,nodelete
  -Wl,--version-script=${CMAKE_BINARY_DIR}/generated/module.map)

# luarocks gives the two directories (flowrun-dev-1.rockspec).
if(FLOWRUN_LUADIR AND FLOWRUN_LIBDIR)
  install(TARGETS flowrun_module LIBRARY DESTINATION ${FLOWRUN_LIBDIR})
  install(DIRECTORY lua/flowrun DESTINATION ${FLOWRUN_LUADIR} FILES_MATCHING PATTERN "*.lua")
  install(DIRECTORY stdlib/ DESTINATION ${FLOWRUN_LUADIR}/flowrun FILES_MATCHING PATTERN "*.lua")
endif()
