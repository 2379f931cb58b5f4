#include "headroom/json/reader.h"

#include <fmt/format.h>

#include <algorithm>

#include "headroom/base/error.h"
#include "headroom/base/text.h"
#include "headroom/json/json.h"

namespace headroom::json {

bool Type<bool>::take(Value from, bool& to) {
  const auto truth = from.boolean();
  to = truth.value_or(to);
  return truth.has_value();
}

bool Type<double>::take(Value from, double& to) {
  const auto number = from.number();
  to = number.value_or(to);
  return number.has_value();
}

bool Type<std::string>::take(Value from, std::string& to) {
  const auto text = from.string();
  if (text) to = *text;
  return text.has_value();
}

bool Type<std::optional<Value>>::take(Value from, std::optional<Value>& to) {
  to = from;
  return true;
}

Reader::Reader(Value object, std::string path) : object_(object), path_(std::move(path)) {
  if (object_.kind() == Kind::object) return;
  error_ = path_.empty() ? "expected an object" : path_;
}

std::string Reader::field(std::string_view name) const { return fmt::format("{}{}", path_, name); }

void Reader::refuse(std::string_view name, std::string_view message) {
  if (!error_) error_ = fmt::format("field '{}': {}", field(name), message);
}

std::optional<Value> Reader::ask(std::string_view name) {
  if (!others_allowed_) asked_.emplace(name);
  if (error_) return std::nullopt;
  const auto member = object_.find(name);
  return member && !member->is_null() ? member : std::nullopt;
}

std::optional<Value> Reader::need(std::string_view name) {
  const auto member = ask(name);
  if (!member) refuse(name, "is required");
  return member;
}

void Reader::read_object(std::string_view name, Value member, const Read& read) {
  if (member.kind() != Kind::object) return refuse(name, "expected an object");
  Reader inner(member, field(name) + ".");
  read(inner);
  if (auto done = inner.finish(); !done && !error_) error_ = std::move(done.error().message);
}

void Reader::read_objects(std::string_view name, Value member, const Read& read) {
  if (member.kind() != Kind::array) return refuse(name, "expected an array of objects");
  for (std::size_t i = 0; i < member.size(); ++i) {
    read_object(fmt::format("{}[{}]", name, i), member.item(i), read);
  }
}

void Reader::required_object(std::string_view name, const Read& read) {
  if (const auto member = need(name)) read_object(name, *member, read);
}
void Reader::optional_object(std::string_view name, const Read& read) {
  if (const auto member = ask(name)) read_object(name, *member, read);
}
void Reader::required_objects(std::string_view name, const Read& read) {
  if (const auto member = need(name)) read_objects(name, *member, read);
}
void Reader::optional_objects(std::string_view name, const Read& read) {
  if (const auto member = ask(name)) read_objects(name, *member, read);
}

Result<void> Reader::finish() {
  if (!error_ && !others_allowed_) {
    object_.each_member([this](std::string_view name, Value) {
      if (asked_.contains(name)) return;
      const std::vector<std::string> known(asked_.begin(), asked_.end());
      const auto near = text::nearest(name, known);
      refuse(name, near ? fmt::format("is unknown; did you mean '{}'?", *near) : "is unknown");
    });
  }
  if (error_) return fail(Errc::invalid, *error_);
  return {};
}

}  // namespace headroom::json
