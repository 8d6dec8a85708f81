-- What tests/tidy enforces, as data. Each exception has its reason beside it.
local rules = {}

-- A C file may include headers of its own layer and of those listed here.
rules.layers = {
  {"core/base/", {}},
  {"core/data/", {"core/base/"}},
  {"core/ml/", {"core/base/", "core/data/"}},
  {"core/engine/", {"core/base/", "core/data/"}},
  {"core/net/", {"core/base/", "core/data/", "core/engine/"}},
  {"lua/", {"core/base/", "core/data/", "core/ml/", "core/engine/", "core/net/"}},
}

-- Headers of libraries and the files that may include them (patterns of paths).
rules.addresses = {
  ["lua.h"] = {"^lua/", "^tests/", "^cmake/"},
  ["lauxlib.h"] = {"^lua/", "^tests/", "^cmake/"},
  ["lualib.h"] = {"^lua/", "^tests/"},
  ["sqlite3.h"] = {"^core/engine/store_sqlite", "^core/data/sql%.c$", "^tests/"},
  ["cblas.h"] = {"^core/ml/linalg%.c$"},
  ["xlsxwriter.h"] = {"^core/data/xlsx_write%.c$"},
  ["expat.h"] = {"^core/data/xlsx_part%.c$"},
  ["minizip/unzip.h"] = {"^core/data/xlsx_part%.c$"},
  ["curl/curl.h"] = {"^core/net/http_client%.c$"},
  ["uv.h"] = {"^core/engine/", "^core/net/", "^lua/", "^tests/", "^bench/"},
  ["histedit.h"] = {"^lua/"},
}

-- Calls that no file makes, with what to use; `except` lists files that may, and why.
rules.banned = {
  sprintf = {use = "snprintf or fr_buf_printf"},
  vsprintf = {use = "vsnprintf"},
  strcpy = {use = "memcpy with a known length"},
  strcat = {use = "fr_buf"},
  strtok = {use = "a loop"},
  gets = {use = "fr_buf"},
  atoi = {use = "strtoll, which tells errors"},
  atof = {use = "strtod, which tells errors"},
  rand = {use = "fr_rand"},
  srand = {use = "fr_rand"},
  system = {use = "an argument list and the reaper"},
  popen = {use = "an argument list and the reaper"},
  alloca = {use = "a bounded array or fr_try_alloc"},
  fork = {use = "posix_spawn through the reaper", except = {"^tests/"}},
  vfork = {use = "posix_spawn through the reaper"},
}

-- The same for core/base, core/data and core/ml: they are pure.
rules.pure_layers = {"core/base/", "core/data/", "core/ml/"}
rules.pure_banned = {
  printf = {use = "a return code and fr_err"},
  puts = {use = "a return code and fr_err"},
  fprintf = {use = "a return code and fr_err", except = {
    "^core/base/err%.c$",                     -- fr_panic: nothing else can be trusted then
  }},
  clock_gettime = {use = "a time argument", except = {"^core/base/clock%.c$"}},
  gettimeofday = {use = "a time argument"},
  time = {use = "a time argument"},
  getenv = {use = "an argument"},
  secure_getenv = {use = "an argument"},
}

rules.most_lines = 1200
rules.most_function_lines = 70
rules.most_columns = 100
rules.most_columns_of_tests = 130      -- a row of a table of cases stays one line

-- Writable globals in our libraries: object file -> name -> reason.
rules.writable = {
  ["fault.c"] = {
    plan = "the fault plan of tests, set while single-threaded",
    fr_fault_armed = "whether there is one",
  },
  ["flow_tick.c"] = {
    running = "the coroutine that signal handlers set a hook in",
    tick = "the timer of the loop's thread",
  },
  ["l_drain.c"] = {
    asked = "counted by the SIGTERM handler",
    wake_handle = "read by the SIGTERM handler",
    before = "what SIGTERM did",
  },
  ["l_engine.c"] = {
    interrupts = "counted by the SIGINT handler",
    patient = "read by the SIGINT handler",
    wake_handle = "read by the SIGINT handler",
    before = "the SIGINT handler as it was before ours",
    called = "the state that the SIGINT handler sets a hook in",
    stop_asked = "set by the SIGTSTP handler",
  },
  ["line.c"] = {
    interrupted = "set by the SIGINT handler of the prompt",
    state = "libedit's callbacks have no argument; one prompt per process",
  },
  ["http_client.c"] = {lib = "the functions of libcurl, opened at first use"},
  ["exec_stop.c"] = {before = "signal handlers of the process, as they were before ours"},
  ["parquet_codec.c"] = {
    snappy = "its functions, opened once at first use",
    brotli = "its functions, opened once at first use",
  },
  ["bigmem.c"] = {pool = "column buffers kept for reuse by all threads"},
  ["pool.c"] = {pool = "one compute pool per process"},
  ["xlsx_part.c"] = {lib = "the functions of minizip and expat, opened at first use"},
  ["xlsx_write.c"] = {lib = "the functions of libxlsxwriter, opened at first use"},
  ["linalg.c"] = {table = "OpenBLAS's functions, opened once at first use"},
}

-- Calls that reach the disk or start processes; only wrapper files make them, each between
-- two fault points, so that tests/crash can stop the process before and after it.
rules.fault_calls = {
  "write", "pwrite", "writev", "pwritev", "fsync", "fdatasync", "rename", "renameat", "flock",
  "lockf", "posix_spawn", "posix_spawnp", "execv", "execve", "execvp", "ftruncate",
}
rules.never_return = {execv = true, execve = true, execvp = true}     -- no point after them
rules.fault_except = {                        -- file -> call -> why it needs no points
  ["core/engine/store_lock.c"] = {pwrite = "the holder's pid: advice, nothing depends on it"},
}
rules.fault_free = {}                         -- pattern of path -> reason

return rules
