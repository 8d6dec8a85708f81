# Puts files into the program by .incbin: a sorted table of (name, bytes, size) that
# lua/bind/embed.c searches. The assembler's dependencies are the files themselves.
function(flowrun_embed output)
  list(SORT ARGN COMPARE STRING)
  set(data "")
  set(rows "")
  set(i 0)
  foreach(path ${ARGN})
    file(RELATIVE_PATH name ${CMAKE_SOURCE_DIR} ${path})
    string(APPEND data "n${i}: .asciz \"${name}\"\nb${i}: .incbin \"${path}\"\ne${i}: .byte 0\n")
    string(APPEND rows "    .quad n${i}, b${i}, e${i} - b${i}\n")
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
  set_source_files_properties(${output} PROPERTIES OBJECT_DEPENDS "${ARGN}")
endfunction()
