# Compiler flags, libraries and the precompiled headers that every room shares.
add_compile_options(-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -fno-omit-frame-pointer)
# ccache finds nothing for a translation unit with a precompiled header whose timestamp is part of it.
add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:SHELL:-Xclang -fno-pch-timestamp>")
add_link_options(-fuse-ld=lld)

if(HR_SANITIZE)
  # Asio recycles coroutine frames and handlers, which hides a use after free from the sanitizers.
  add_compile_options(-fsanitize=${HR_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${HR_SANITIZE})
  add_compile_definitions(BOOST_ASIO_DISABLE_AWAITABLE_FRAME_RECYCLING BOOST_ASIO_DISABLE_SMALL_BLOCK_RECYCLING HR_SANITIZED)
endif()
if(HR_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

add_compile_definitions(
  BOOST_ASIO_SEPARATE_COMPILATION  # Asio's bodies are compiled once, in net/
  BOOST_ASIO_RECYCLING_ALLOCATOR_CACHE_SIZE=16  # a request nests about ten coroutine frames: none of them should go to malloc
  BOOST_ASIO_NO_DEPRECATED
  BOOST_ALL_NO_LIB)

find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS json url)
find_package(PkgConfig REQUIRED)
pkg_check_modules(sqlite3 REQUIRED IMPORTED_TARGET sqlite3)
pkg_check_modules(xxhash REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(zstd REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(cares REQUIRED IMPORTED_TARGET libcares)
pkg_check_modules(brotli REQUIRED IMPORTED_TARGET libbrotlienc libbrotlidec)
pkg_check_modules(deflate REQUIRED IMPORTED_TARGET libdeflate)
pkg_check_modules(zlib REQUIRED IMPORTED_TARGET zlib)
pkg_check_modules(zstd REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(tomlplusplus REQUIRED IMPORTED_TARGET tomlplusplus)
find_package(CLI11 REQUIRED)
if(HR_TESTS)
  find_package(GTest REQUIRED)
endif()

# One precompiled header for the rooms that use Asio, one more for their tests.
file(WRITE ${CMAKE_BINARY_DIR}/pch.cc "")
add_library(headroom_pch STATIC ${CMAKE_BINARY_DIR}/pch.cc)
target_precompile_headers(headroom_pch PRIVATE ${CMAKE_SOURCE_DIR}/cmake/pch.h)
target_link_libraries(headroom_pch PUBLIC fmt::fmt Threads::Threads)
