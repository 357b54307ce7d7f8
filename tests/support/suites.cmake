# Writes, for CTest, a test for each suite of a program of GoogleTest cases: a case by itself is mostly the
# start of its process, and what those of a suite share they would each make.
#
#   cmake -DPROGRAM=… -DOUTPUT=… -DPROPERTIES=… -DDATABASE=… -DALONE=… -P suites.cmake
#
# Suites that match DATABASE or ALONE are labelled `database` or `alone`, as tests/README.md says. Of those
# in APART each case is a test by itself: one that changes the schema is told of a second later, and the
# next one's answers would be given up for that.
cmake_minimum_required(VERSION 3.25)
set(APART Ways/CachingTest)

execute_process(COMMAND ${PROGRAM} --gtest_list_tests OUTPUT_VARIABLE listed COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "(^|\n)[A-Za-z0-9_/]+\\." suites "${listed}")
if(NOT suites)
  message(FATAL_ERROR "${PROGRAM} has no tests")
endif()
set(script)
foreach(suite IN LISTS suites)
  string(REGEX REPLACE "[\n.]" "" suite "${suite}")
  set(labels engine)
  foreach(label IN ITEMS DATABASE ALONE)
    if(${label} AND suite MATCHES "^(.*/)?(${${label}})$")
      string(TOLOWER ${label} name)
      string(APPEND labels ";${name}")
    endif()
  endforeach()
  set(tests "${suite}.*")
  if(suite IN_LIST APART)
    string(REGEX MATCH "(^|\n)${suite}\\.\n((  [^\n]*\n)+)" of_suite "${listed}")
    string(REGEX MATCHALL "  [A-Za-z0-9_/]+ " tests "${CMAKE_MATCH_2}")
    list(TRANSFORM tests STRIP)
    list(TRANSFORM tests PREPEND "${suite}.")
  endif()
  foreach(test IN LISTS tests)
    string(REPLACE ".*" "" name "${test}")
    string(APPEND script "add_test(${name} [==[${PROGRAM}]==] \"--gtest_filter=${test}\")\n"
                         "set_tests_properties(${name} PROPERTIES LABELS \"${labels}\" ${PROPERTIES})\n")
  endforeach()
endforeach()
file(WRITE ${OUTPUT} "${script}")
