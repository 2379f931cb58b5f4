#include "headroom/json/schema.h"

// Without it valijson ends the process where it should throw.
#define VALIJSON_USE_EXCEPTIONS 1  // NOLINT: its own name

#include <algorithm>
#include <boost/json.hpp>
#include <exception>
#include <regex>
#include <valijson/adapters/boost_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>

#include "headroom/json/json.h"

namespace headroom::json {
namespace {

namespace bj = boost::json;

constexpr std::size_t kMostSchema = 256U << 10U;

bool has_pattern(const bj::value& value) {
  if (const auto* array = value.if_array()) return std::ranges::any_of(*array, has_pattern);
  const auto* object = value.if_object();
  if (object == nullptr) return false;
  return std::ranges::any_of(*object, [](const auto& member) {
    return member.key() == "pattern" || member.key() == "patternProperties" ||
           has_pattern(member.value());
  });
}

bool has_long_text(const bj::value& value) {
  if (const auto* text = value.if_string()) return text->size() > Schema::kMostPattern;
  if (const auto* array = value.if_array()) return std::ranges::any_of(*array, has_long_text);
  const auto* object = value.if_object();
  return object != nullptr && std::ranges::any_of(*object, [](const auto& member) {
           return member.key().size() > Schema::kMostPattern || has_long_text(member.value());
         });
}

// Throws what std::regex throws for a pattern that is none.
void try_patterns(const bj::value& value) {
  if (const auto* array = value.if_array()) {
    for (const bj::value& each : *array) try_patterns(each);
  }
  const auto* object = value.if_object();
  if (object == nullptr) return;
  for (const auto& member : *object) {
    if (member.key() == "pattern" && member.value().is_string())
      (void)std::regex(member.value().as_string().c_str());
    try_patterns(member.value());
  }
}

}  // namespace

struct Schema::Body {
  valijson::Schema schema;
  bool matches = false;  // by patterns
};

Schema::Schema(std::unique_ptr<const Body> body) : body_(std::move(body)) {}
Schema::~Schema() = default;

Result<std::shared_ptr<const Schema>> Schema::compile(std::string_view text) {
  if (auto whole = parse(text, {.bytes = Bytes{kMostSchema}}); !whole) return pass(whole);
  try {
    const bj::value tree = bj::parse(text);
    if (!tree.is_object()) return fail(Errc::invalid, "a schema is a JSON object");
    auto body = std::make_unique<Body>();
    body->matches = has_pattern(tree);
    try_patterns(tree);
    valijson::SchemaParser parser;
    parser.populateSchema(valijson::adapters::BoostJsonAdapter(tree), body->schema);
    return std::shared_ptr<const Schema>(new Schema(std::move(body)));
  } catch (const std::exception& error) {
    return fail(Errc::invalid, error.what());
  }
}

Result<> Schema::check(std::string_view text) const {
  if (auto whole = parse(text); !whole) return pass(whole);
  try {
    const bj::value tree = bj::parse(text);
    if (body_->matches && has_long_text(tree))
      return fail(Errc::invalid, "a text is too long to be matched");
    valijson::Validator validator;
    valijson::ValidationResults results;
    const valijson::adapters::BoostJsonAdapter target(tree);
    if (validator.validate(body_->schema, target, &results)) return {};
    valijson::ValidationResults::Error first;
    if (!results.popError(first)) return fail(Errc::invalid, "it is not what its schema says");
    std::string where;
    for (const std::string& part : first.context) where += part;
    return fail(Errc::invalid, where + ": " + first.description);
  } catch (const std::exception& error) {
    return fail(Errc::invalid, error.what());
  }
}

}  // namespace headroom::json
