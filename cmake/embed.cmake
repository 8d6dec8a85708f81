# Puts files into the program by .incbin: a sorted table of (name, bytes, size, code, code
# size) that lua/bind/embed.c searches. The assembler's dependencies are the files themselves.
# Lua sources are there compiled as well: a state loads bytecode eight times as fast (0.3
# instead of 2.5 ms for what a run needs, in main and in each worker).
add_executable(flowrun_compile cmake/compile.c)
target_link_libraries(flowrun_compile PRIVATE flowrun_options ${LUA_STATIC_LIB} m ${CMAKE_DL_LIBS})

function(flowrun_embed output)
  list(SORT ARGN COMPARE STRING)
  set(data "")
  set(rows "")
  set(compiled "")
  set(i 0)
  foreach(path ${ARGN})
    file(RELATIVE_PATH name ${CMAKE_SOURCE_DIR} ${path})
    string(APPEND data "n${i}: .asciz \"${name}\"\nb${i}: .incbin \"${path}\"\ne${i}: .byte 0\n")
    if(name MATCHES "\\.lua$")
      set(code ${CMAKE_BINARY_DIR}/generated/code/${name}c)
      get_filename_component(folder ${code} DIRECTORY)
      file(MAKE_DIRECTORY ${folder})
      add_custom_command(OUTPUT ${code} DEPENDS ${path} flowrun_compile
        COMMAND flowrun_compile ${name} ${path} ${code} COMMENT "")
      list(APPEND compiled ${code})
      string(APPEND data "c${i}: .incbin \"${code}\"\nd${i}:\n")
      string(APPEND rows "    .quad n${i}, b${i}, e${i} - b${i}, c${i}, d${i} - c${i}\n")
    else()
      string(APPEND rows "    .quad n${i}, b${i}, e${i} - b${i}, 0, 0\n")
    endif()
    math(EXPR i "${i} + 1")
  endforeach()
  file(CONFIGURE OUTPUT ${output} CONTENT
"    .section .rodata
    .balign 8
    .globl fr_embed_count
    .hidden fr_embed_count
fr_embed_count: .quad ${i}
${data}    .section .data.rel.ro, \"aw\"
    .balign 8
    .globl fr_embed_table
    .hidden fr_embed_table
fr_embed_table:
${rows}    .section .note.GNU-stack, \"\", %progbits
" @ONLY)
  set_source_files_properties(${output} PROPERTIES OBJECT_DEPENDS "${ARGN};${compiled}")
endfunction()
