# Texts compiled into the binary: one generated .cc whose map of file name to text is declared in the
# header that names `variable`.

# embed_texts(output_cc header variable file...)
function(embed_texts output header variable)
  add_custom_command(
    OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -DOUTPUT=${output} -DHEADER=${header} -DVARIABLE=${variable}
            "-DFILES=${ARGN}" -P ${PROJECT_SOURCE_DIR}/cmake/EmbedTexts.cmake
    DEPENDS ${ARGN} ${PROJECT_SOURCE_DIR}/cmake/EmbedTexts.cmake
    COMMENT "Embedding texts as ${variable}"
    VERBATIM)
endfunction()
