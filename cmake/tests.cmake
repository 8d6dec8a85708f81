# Every test is a file in its place; a line "labels: a b" in its first comment adds labels.
#   tests/unit/test_*.c   C, linked with the core      tests/bind/test_*.c  C with a Lua state
#                         (both know FLOWRUN_SOURCE, the path of the source tree)
#   tests/spec/*_spec.lua flowrun test                 tests/fuzz/fuzz_*.c  fuzz targets
# Label `threads`: also run under ThreadSanitizer.
enable_testing()

function(flowrun_label test source)
  file(STRINGS ${source} line REGEX "^(//|--) labels: " LIMIT_COUNT 1)
  string(REGEX REPLACE "^.. labels: " "" labels "${line}")
  string(REPLACE " " ";" labels "${labels}")
  string(REGEX REPLACE "\\..*" "" kind ${test})
  set_tests_properties(${test} PROPERTIES LABELS "${kind};${labels}" TIMEOUT 400)
endfunction()

foreach(kind unit bind)
  file(GLOB sources CONFIGURE_DEPENDS tests/${kind}/test_*.c)
  foreach(source ${sources})
    get_filename_component(name ${source} NAME_WE)
    add_executable(${name} ${source})
    if(kind STREQUAL bind)
      target_link_libraries(${name} PRIVATE flowrun_lua)
      if(name STREQUAL test_http)
        target_link_libraries(${name} PRIVATE ssl)   # its TLS server
      endif()
      set_target_properties(${name} PROPERTIES ENABLE_EXPORTS ON)
    else()
      target_link_libraries(${name} PRIVATE flowrun_core)
    endif()
    target_compile_definitions(${name} PRIVATE FLOWRUN_SOURCE="${CMAKE_SOURCE_DIR}")
    add_test(NAME ${kind}.${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    flowrun_label(${kind}.${name} ${source})
  endforeach()
endforeach()
add_test(NAME bind.sweep_rows COMMAND test_sweep --rows WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
set_tests_properties(bind.sweep_rows PROPERTIES LABELS bind TIMEOUT 120)

add_library(clock_shim MODULE tests/shim/clock_shim.c)   # see its head
add_library(sync_shim MODULE tests/shim/sync_shim.c)
foreach(shim clock_shim sync_shim)
  target_compile_definitions(${shim} PRIVATE _GNU_SOURCE)
  set_target_properties(${shim} PROPERTIES C_VISIBILITY_PRESET default)
endforeach()
add_library(crash_module MODULE tests/shim/crash_module.c)
set_target_properties(crash_module PROPERTIES PREFIX "" C_VISIBILITY_PRESET default)
target_include_directories(crash_module SYSTEM PRIVATE ${LUA_INCLUDE_DIR})
add_executable(http_server tests/shim/http_server.c)   # see its head
target_compile_definitions(http_server PRIVATE _GNU_SOURCE)
set(spec_environment FLOWRUN=$<TARGET_FILE:flowrun>
  FLOWRUN_CLOCK_SHIM=$<TARGET_FILE:clock_shim>
  FLOWRUN_SYNC_SHIM=$<TARGET_FILE:sync_shim>
  FLOWRUN_HTTP_SERVER=$<TARGET_FILE:http_server>
  LUA_CPATH=$<TARGET_FILE_DIR:crash_module>/?.so\;\;)
file(GLOB sources CONFIGURE_DEPENDS tests/spec/*_spec.lua tests/spec/complaints/*_spec.lua)
foreach(source ${sources})
  get_filename_component(name ${source} NAME_WE)
  file(RELATIVE_PATH path ${CMAKE_SOURCE_DIR} ${source})
  add_test(NAME spec.${name} COMMAND flowrun test ${path}
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  flowrun_label(spec.${name} ${source})
  set_tests_properties(spec.${name} PROPERTIES ENVIRONMENT "${spec_environment}")
endforeach()

# A fuzz target defines LLVMFuzzerTestOneInput and has a folder tests/fuzz/corpus/<name>.
# With FLOWRUN_FUZZER libFuzzer drives it (30 s for all), else tests/fuzz/main.c.
file(GLOB sources CONFIGURE_DEPENDS tests/fuzz/fuzz_*.c)
add_custom_target(fuzzers)
list(LENGTH sources fuzz_targets)
if(fuzz_targets)
  math(EXPR fuzz_seconds "30 / ${fuzz_targets}")
endif()
foreach(source ${sources})
  get_filename_component(name ${source} NAME_WE)
  set(corpus ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name})
  if(FLOWRUN_FUZZER)
    add_executable(${name} ${source})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/corpus/${name})
    add_test(NAME fuzz.${name} COMMAND ${name} -max_total_time=${fuzz_seconds} -timeout=5
      -max_len=4096 -print_final_stats=1 ${CMAKE_BINARY_DIR}/corpus/${name} ${corpus})
  else()
    add_executable(${name} ${source} tests/fuzz/main.c)
    add_test(NAME fuzz.${name} COMMAND ${name} ${corpus})
  endif()
  add_dependencies(fuzzers ${name})
  target_link_libraries(${name} PRIVATE flowrun_core)
  flowrun_label(fuzz.${name} ${source})
endforeach()

foreach(kind sim crash e2e)
  if(EXISTS ${CMAKE_SOURCE_DIR}/tests/${kind}/CMakeLists.txt)
    add_subdirectory(tests/${kind})
  endif()
endforeach()

# tests/tidy: the rules of the house. Writable globals are looked for in plain builds only.
if(NOT FLOWRUN_SANITIZE)
  find_program(LUA lua5.4 REQUIRED)
  find_program(LUACHECK luacheck)
  add_test(NAME tidy.rules COMMAND ${LUA} tests/tidy/tidy.lua . ${CMAKE_BINARY_DIR}
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  if(LUACHECK)
    add_test(NAME tidy.luacheck COMMAND ${LUACHECK} -q . WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(tidy.luacheck PROPERTIES LABELS tidy)
  endif()
  set_tests_properties(tidy.rules PROPERTIES LABELS tidy)
endif()
