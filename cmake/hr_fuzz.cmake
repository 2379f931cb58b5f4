# hr_fuzzer(http_request ROOM http SOURCES http_request.cc)
#
# One libFuzzer program fuzz_<name> over a room's parser. Its committed seeds lie in fuzz/seeds/<name>/; every finding becomes one. Two
# ctests (label "fuzz"): the seeds alone, then 5 seconds of new inputs from a fixed start. Longer, by hand:
#   build/fuzz/fuzz/fuzz_http_request -max_total_time=600 /tmp/corpus fuzz/seeds/http_request
function(hr_fuzzer name)
  cmake_parse_arguments(F "" "ROOM" "SOURCES" ${ARGN})
  set(target fuzz_${name})
  add_executable(${target} ${F_SOURCES})
  target_link_libraries(${target} PRIVATE headroom::${F_ROOM})
  target_link_options(${target} PRIVATE -fsanitize=fuzzer)
  set(seeds ${CMAKE_CURRENT_SOURCE_DIR}/seeds/${name})
  file(GLOB files CONFIGURE_DEPENDS ${seeds}/*)
  add_test(NAME fuzz_${name}_seeds COMMAND ${target} ${files})
  # New inputs go to a scratch folder of the build, the first one named.
  set(corpus ${CMAKE_CURRENT_BINARY_DIR}/corpus/${name})
  file(MAKE_DIRECTORY ${corpus})
  add_test(NAME fuzz_${name}_search COMMAND ${target} -seed=1 -max_total_time=5 -print_final_stats=1 ${corpus} ${seeds})
  set_tests_properties(fuzz_${name}_seeds fuzz_${name}_search PROPERTIES LABELS fuzz TIMEOUT 120)
endfunction()
