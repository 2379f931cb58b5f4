# Compiler flags, libraries and the precompiled headers that every room shares.
add_compile_options(-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -fno-omit-frame-pointer)
# ccache finds nothing for a translation unit with a precompiled header whose timestamp is part of it, nor without the sloppiness that CMakePresets.json gives it.
add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:SHELL:-Xclang -fno-pch-timestamp>")
add_link_options(-fuse-ld=lld)
# What nobody calls is left out of programs, and equal functions are one: less of them to load and keep.
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  add_compile_options(-ffunction-sections -fdata-sections)
  add_link_options(-Wl,--gc-sections -Wl,--icf=safe)
endif()

if(HR_SANITIZE)
  # Asio recycles coroutine frames and handlers, which hides a use after free from the sanitizers.
  add_compile_options(-fsanitize=${HR_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${HR_SANITIZE})
  add_compile_definitions(BOOST_ASIO_DISABLE_AWAITABLE_FRAME_RECYCLING BOOST_ASIO_DISABLE_SMALL_BLOCK_RECYCLING HR_SANITIZED)
endif()
if(HR_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

include(hr_dependencies)
add_compile_definitions(${HR_ASIO_DEFINITIONS})
find_package(CLI11 REQUIRED)
if(HR_TESTS)
  find_package(GTest REQUIRED)
endif()

# One precompiled header for the rooms that use Asio, one more for their tests.
file(WRITE ${CMAKE_BINARY_DIR}/pch.cc "")
add_library(headroom_pch STATIC ${CMAKE_BINARY_DIR}/pch.cc)
target_precompile_headers(headroom_pch PRIVATE ${CMAKE_SOURCE_DIR}/cmake/pch.h)
target_link_libraries(headroom_pch PUBLIC fmt::fmt Threads::Threads)
