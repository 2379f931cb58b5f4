# What the rooms are made of, and how Asio is compiled; also read by who uses an installed Headroom (headroomConfig.cmake).
# g++ 12 miscompiles aggregates, capturing lambdas and ?: made inside a co_await expression (STYLE, tests/smoke).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 14)
  message(FATAL_ERROR "g++ ${CMAKE_CXX_COMPILER_VERSION} miscompiles coroutines; use clang 19 (CMAKE_CXX_COMPILER=clang++-19)")
endif()

set(HR_ASIO_DEFINITIONS
  BOOST_ASIO_SEPARATE_COMPILATION  # Asio's bodies are compiled once, in net/
  BOOST_ASIO_RECYCLING_ALLOCATOR_CACHE_SIZE=16  # a request nests about ten coroutine frames: none of them should go to malloc
  BOOST_ASIO_NO_DEPRECATED
  BOOST_ALL_NO_LIB)

find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(date REQUIRED)
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
pkg_check_modules(tomlplusplus REQUIRED IMPORTED_TARGET tomlplusplus)
