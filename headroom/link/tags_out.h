// headroom/link/tags_out.h - which tags of tables answers have carried to a CDN: of a write, it is told of no others.
//
// Owns: tags, as texts. Threads: any; a short lock for each page that is made and each commit.
// Invariants: (1) what is handed out before it is taken is taken once; (2) beyond kMost everything counts as handed out.
// Limits: kMost tags.
#pragma once

#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>

namespace headroom::link {

class TagsOut {
 public:
  static constexpr std::size_t kMost = 100'000;

  // Those of tables among them: "sql:...". Before the answer goes out.
  void hand_out(std::span<const std::string> tags);
  // Whether it is out; from now on it is not.
  [[nodiscard]] bool take(const std::string& tag);

 private:
  std::mutex mutex_;
  std::unordered_set<std::string> out_;
  bool all_ = false;
};

}  // namespace headroom::link
