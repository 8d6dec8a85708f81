rockspec_format = "3.0"
package = "flowrun"
version = "dev-1"
source = {url = "git+file://."}
description = {
  summary = "Pipelines of data and ML tasks as Lua scripts: concurrent, durable, on one machine",
  license = "MIT",
}
dependencies = {"lua ~> 5.4"}
build = {
  type = "cmake",
  variables = {
    CMAKE_BUILD_TYPE = "Release",
    FLOWRUN_TESTS = "OFF",
    FLOWRUN_PROGRAM = "OFF",
    FLOWRUN_LUADIR = "$(LUADIR)",
    FLOWRUN_LIBDIR = "$(LIBDIR)",
  },
}
