// headroom/json/schema.h - JSON Schema (drafts 4 to 7, by valijson): whether a text is what a schema says.
//
// Owns: the compiled schema; valijson's headers stay in the .cc. Threads: check() from several.
// Invariants: (1) what is no JSON is refused before the schema is asked; (2) nothing is fetched: a $ref goes within the schema.
// Limits: schemas of 256 KiB; texts by json::Limits. `pattern` is matched by std::regex, whose stack grows with the text: strings of at most
//   kMostPattern bytes are matched, longer ones refused.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "headroom/base/error.h"

namespace headroom::json {

class Schema {
 public:
  static constexpr std::size_t kMostPattern = 8192;

  // Errc::invalid: no JSON, or no schema.
  [[nodiscard]] static Result<std::shared_ptr<const Schema>> compile(std::string_view text);
  ~Schema();
  Schema(const Schema&) = delete;
  Schema& operator=(const Schema&) = delete;

  // Errc::invalid says where and why: "<root>.price: ...".
  [[nodiscard]] Result<> check(std::string_view text) const;

 private:
  struct Body;
  explicit Schema(std::unique_ptr<const Body> body);
  const std::unique_ptr<const Body> body_;
};

}  // namespace headroom::json
