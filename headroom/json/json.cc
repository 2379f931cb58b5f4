#include "headroom/json/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/container/small_vector.hpp>
#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/monotonic_resource.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <boost/json/value_stack.hpp>
#include <cmath>
#include <optional>
#include <unordered_set>
#include <utility>
#include <vector>

#include "headroom/base/assert.h"
#include "headroom/base/bytes.h"
#include "headroom/base/error.h"
#include "headroom/base/hash.h"

namespace headroom::json {
namespace {

namespace bj = boost::json;

// Builds the tree from the parser's events (Boost.JSON's own handler keeps the last of two members
// with one name).
class Builder {
 public:
  static constexpr std::size_t max_object_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_array_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_key_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_string_size = static_cast<std::size_t>(-1);

  explicit Builder(bj::storage_ptr memory) : stack_({}, memory_.data(), memory_.size()) {
    stack_.reset(std::move(memory));
  }
  bj::value release() { return stack_.release(); }
  [[nodiscard]] const std::optional<std::string>& repeated_key() const { return repeated_key_; }

  bool on_document_begin(bj::error_code&) { return true; }
  bool on_document_end(bj::error_code&) { return true; }
  bool on_object_begin(bj::error_code&) {
    open_objects_.push_back(++objects_);
    return true;
  }
  bool on_object_end(std::size_t size, bj::error_code&) {
    open_objects_.pop_back();
    stack_.push_object(size);
    return true;
  }
  bool on_array_begin(bj::error_code&) { return true; }
  bool on_array_end(std::size_t size, bj::error_code&) {
    stack_.push_array(size);
    return true;
  }
  bool on_key_part(bj::string_view part, std::size_t, bj::error_code&) {
    key_.append(part.data(), part.size());
    stack_.push_chars(part);
    return true;
  }
  bool on_key(bj::string_view part, std::size_t, bj::error_code& error) {
    key_.append(part.data(), part.size());
    stack_.push_key(part);
    if (!is_new(hash64(key_, open_objects_.back()))) {
      repeated_key_ = key_;
      error = bj::error::syntax;
      return false;
    }
    key_.clear();
    return true;
  }
  bool on_string_part(bj::string_view part, std::size_t, bj::error_code&) {
    stack_.push_chars(part);
    return true;
  }
  bool on_string(bj::string_view part, std::size_t, bj::error_code&) {
    stack_.push_string(part);
    return true;
  }
  bool on_number_part(bj::string_view, bj::error_code&) { return true; }
  bool on_int64(std::int64_t number, bj::string_view, bj::error_code&) {
    stack_.push_int64(number);
    return true;
  }
  bool on_uint64(std::uint64_t number, bj::string_view, bj::error_code&) {
    stack_.push_uint64(number);
    return true;
  }
  bool on_double(double number, bj::string_view, bj::error_code&) {
    stack_.push_double(number);
    return true;
  }
  bool on_bool(bool truth, bj::error_code&) {
    stack_.push_bool(truth);
    return true;
  }
  bool on_null(bj::error_code&) {
    stack_.push_null();
    return true;
  }
  bool on_comment_part(bj::string_view, bj::error_code&) { return true; }
  bool on_comment(bj::string_view, bj::error_code&) { return true; }

 private:
  // Most texts have few names: those take no memory.
  bool is_new(std::uint64_t key) {
    if (few_ < first_.size()) {
      const auto end = first_.begin() + static_cast<std::ptrdiff_t>(few_);
      if (std::find(first_.begin(), end, key) != end) return false;
      first_[few_++] = key;
      return true;
    }
    return std::ranges::find(first_, key) == first_.end() && keys_.insert(key).second;
  }

  std::array<unsigned char, 1024> memory_;
  bj::value_stack stack_;
  std::string key_;
  std::optional<std::string> repeated_key_;
  std::uint64_t objects_ = 0;
  boost::container::small_vector<std::uint64_t, 16> open_objects_;
  // The hash of each name, seeded with its object's number.
  std::array<std::uint64_t, 16> first_;
  std::size_t few_ = 0;
  std::unordered_set<std::uint64_t> keys_;  // beyond those
};

std::string place_of(std::string_view text, std::size_t at) {
  const std::string_view before = text.substr(0, at);
  const auto line = std::ranges::count(before, '\n') + 1;
  const auto line_start = before.rfind('\n') + 1;  // npos + 1 == 0
  return fmt::format("line {}, column {}", line, before.size() - line_start + 1);
}

std::string reason_of(const bj::error_code& error, const Builder& builder, const Limits& limits) {
  if (builder.repeated_key()) {
    return fmt::format("the name '{}' stands twice in one object", *builder.repeated_key());
  }
  if (error == bj::error::too_deep) return fmt::format("nested deeper than {}", limits.depth);
  if (error == bj::error::incomplete) return "the text ends too early";
  if (error == bj::error::extra_data) return "more text after the value";
  return "not JSON: " + error.message();
}

const bj::value* member_of(const bj::value& tree, std::string_view name) {
  const auto* object = tree.if_object();
  return object == nullptr ? nullptr : object->if_contains({name.data(), name.size()});
}

}  // namespace

// The values and their memory, which goes at once: most texts are small, so that theirs is a single piece of the heap.
struct Document::Tree {
  Tree() : memory(first.data(), first.size()) {}

  std::array<unsigned char, 880> first;  // NOLINT(*-member-init): memory
  bj::monotonic_resource memory;
  std::optional<bj::value> root;
};

Result<Document> parse(std::string_view text, const Limits& limits) {
  if (text.size() > limits.bytes.count) {
    return fail(Errc::overloaded, fmt::format("JSON of {} bytes; at most {} are read", text.size(),
                                              to_string(limits.bytes)));
  }
  bj::parse_options options;
  options.max_depth = limits.depth;
  auto tree = std::make_unique<Document::Tree>();
  bj::basic_parser<Builder> parser(options, bj::storage_ptr(&tree->memory));
  bj::error_code error;
  std::size_t read = parser.write_some(false, text.data(), text.size(), error);
  if (!error && read < text.size()) error = bj::error::extra_data;
  if (error) {
    return fail(Errc::invalid, place_of(text, std::min(read, text.size())) + ": " +
                                   reason_of(error, parser.handler(), limits));
  }
  tree->root.emplace(parser.handler().release());
  return Document(std::move(tree));
}

Value Document::root() const { return Value(*tree_->root); }

Document::Document(std::unique_ptr<const Tree> tree) : tree_(std::move(tree)) {}
Document::Document(Document&&) noexcept = default;
Document& Document::operator=(Document&&) noexcept = default;
Document::~Document() = default;

Kind Value::kind() const {
  switch (tree_->kind()) {
    case bj::kind::null: return Kind::null;
    case bj::kind::bool_: return Kind::boolean;
    case bj::kind::string: return Kind::string;
    case bj::kind::array: return Kind::array;
    case bj::kind::object: return Kind::object;
    default: return Kind::number;
  }
}

std::optional<bool> Value::boolean() const {
  const bool* truth = tree_->if_bool();
  return truth == nullptr ? std::nullopt : std::optional(*truth);
}

std::optional<std::int64_t> Value::integer() const {
  if (!tree_->is_number()) return std::nullopt;
  bj::error_code error;
  const auto number = tree_->to_number<std::int64_t>(error);
  return error ? std::nullopt : std::optional(number);
}

std::optional<std::uint64_t> Value::natural() const {
  if (!tree_->is_number()) return std::nullopt;
  bj::error_code error;
  const auto number = tree_->to_number<std::uint64_t>(error);
  return error ? std::nullopt : std::optional(number);
}

std::optional<double> Value::number() const {
  if (!tree_->is_number()) return std::nullopt;
  bj::error_code error;
  const auto number = tree_->to_number<double>(error);
  return error || !std::isfinite(number) ? std::nullopt : std::optional(number);
}

std::optional<std::string_view> Value::string() const {
  const auto* text = tree_->if_string();
  if (text == nullptr) return std::nullopt;
  return std::string_view(text->data(), text->size());
}

std::size_t Value::size() const {
  if (const auto* array = tree_->if_array()) return array->size();
  if (const auto* object = tree_->if_object()) return object->size();
  return 0;
}

Value Value::item(std::size_t index) const {
  HR_ASSERT(tree_->is_array());
  HR_ASSERT(index < tree_->get_array().size());
  return Value(tree_->get_array()[index]);
}

std::optional<Value> Value::find(std::string_view name) const {
  const auto* member = member_of(*tree_, name);
  return member == nullptr ? std::nullopt : std::optional(Value(*member));
}

void Value::each_member(const std::function<void(std::string_view, Value)>& visit) const {
  const auto* object = tree_->if_object();
  if (object == nullptr) return;
  for (const auto& member : *object) {
    visit({member.key().data(), member.key().size()}, Value(member.value()));
  }
}

std::string Value::text() const { return bj::serialize(*tree_); }

}  // namespace headroom::json
