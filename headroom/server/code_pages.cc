#include "headroom/server/code_pages.h"

#include <malloc.h>
#include <sys/mman.h>

#include <charconv>
#include <cstdint>
#include <fstream>
#include <string>

namespace headroom::server {
namespace {

// "55d0c000-55d0f000 r-xp 00012000 fd:00 1311 /usr/bin/x"
bool is_code(const std::string& line) { return line.contains(" r-xp ") && line.contains(" /"); }

void forget(const std::string& line) {
  std::uintptr_t from = 0;
  std::uintptr_t to = 0;
  const char* const end = line.data() + line.size();
  const auto first = std::from_chars(line.data(), end, from, 16);
  if (first.ec != std::errc{} || first.ptr == end) return;
  const auto second = std::from_chars(first.ptr + 1, end, to, 16);
  if (second.ec != std::errc{} || to <= from) return;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): the kernel's own text of the address
  (void)::madvise(reinterpret_cast<void*>(from), to - from, MADV_DONTNEED);
}

}  // namespace

void forget_code_pages() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (is_code(line)) forget(line);
  }
  ::malloc_trim(0);
}

}  // namespace headroom::server
