#include "headroom/edge/batch_part.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "headroom/auth/crypto.h"
#include "headroom/base/text.h"
#include "headroom/http/parser.h"
#include "headroom/http/path.h"
#include "headroom/json/reader.h"
#include "headroom/json/writer.h"

namespace headroom::edge {
namespace {

using http::Name;

constexpr std::size_t kDepth = 32;
constexpr std::string_view kOwnPaths = "/_headroom";

// By which the proxies and networks before us tell who a client is. One that a part could set would be believed as if they had said it.
constexpr std::array<std::string_view, 20> kToldByOthers{"cf-connecting-ip",
                                                         "cf-connecting-ipv6",
                                                         "cf-ipcountry",
                                                         "cf-visitor",
                                                         "client-ip",
                                                         "do-connecting-ip",
                                                         "fastly-client-ip",
                                                         "fly-client-ip",
                                                         "forwarded",
                                                         "true-client-ip",
                                                         "via",
                                                         "x-appengine-user-ip",
                                                         "x-azure-clientip",
                                                         "x-azure-socketip",
                                                         "x-client-ip",
                                                         "x-cluster-client-ip",
                                                         "x-envoy-external-address",
                                                         "x-original-forwarded-for",
                                                         "x-real-ip",
                                                         "x-request-id"};
static_assert(std::ranges::is_sorted(kToldByOthers));

// By which a browser tells who wrote a request, and no script can: a part that could set them would undo what they protect.
bool told_by_browser(std::string_view lowered) {
  return lowered == "origin" || lowered == "referer" || lowered.starts_with("sec-");
}

bool says_who_asks(std::string_view name, std::string_view tier_header) {
  const std::string lowered = text::lowered(name);
  return lowered.starts_with("x-forwarded-") || told_by_browser(lowered) ||
         std::ranges::binary_search(kToldByOthers, lowered) ||
         (!tier_header.empty() && text::equal_ignoring_case(name, tier_header));
}

bool is_of_the_connection(Name name) {
  return http::is_hop_by_hop(name) || http::is_framing(name) || name == Name::host ||
         name == Name::expect || name == Name::trailer;
}

bool is_default(Name name) {
  return name == Name::authorization || name == Name::cookie || name == Name::accept_language ||
         name == Name::user_agent;
}

bool has(const FieldTexts& fields, std::string_view name) {
  return std::ranges::any_of(
      fields, [&](const auto& field) { return text::equal_ignoring_case(field.first, name); });
}

PartRefusal refuse_method(std::string_view method) {
  if (!http::is_token(method)) return {400, "bad_part", "'method' is no HTTP method"};
  if (method == "CONNECT" || method == "TRACE")
    return {405, "method_not_allowed", "this method is not forwarded"};
  return {};
}

PartRefusal refuse_path(std::string_view target) {
  const bool fine = target.starts_with('/') && std::ranges::all_of(target, [](char c) {
                      return c > 0x20 && c < 0x7f && c != '#';
                    });
  if (!fine) {
    return {400, "bad_part",
            "'path' must begin with / and hold no host, space, control, # or non-ASCII byte"};
  }
  std::string scratch;
  const auto path = http::normalised_path(target.substr(0, target.find('?')), scratch);
  if (path && http::path_is_under(kOwnPaths, *path))
    return {403, "not_in_batch", "this path cannot be asked for in a batch"};
  return {};
}

PartRefusal refuse_field(std::string_view name, std::string_view value,
                         std::string_view tier_header) {
  if (!http::is_token(name)) return {400, "bad_part", "a header's name is no token"};
  if (!http::is_field_value(value))
    return {400, "bad_part", "a header's value holds a control character"};
  if (!is_of_the_connection(http::name_of(name)) && !says_who_asks(name, tier_header)) return {};
  return {400, "bad_part", "header '" + std::string(name) + "' cannot be set in a batch"};
}

PartRefusal refusal_of(const BatchPart& part, std::string_view tier_header) {
  if (auto refused = refuse_method(part.method); refused.status != 0) return refused;
  if (auto refused = refuse_path(part.path); refused.status != 0) return refused;
  for (const auto& [name, value] : part.fields) {
    if (auto refused = refuse_field(name, value, tier_header); refused.status != 0) return refused;
  }
  return {};
}

void read_body(json::Reader& in, BatchPart& part) {
  std::optional<json::Value> body;
  bool base64 = false;
  in.optional<std::optional<json::Value>>("body", body);  // the Value itself, not one to be read
  in.optional("base64", base64);
  if (!body || body->is_null()) {
    if (base64) in.refuse("base64", "there is no body");
    return;
  }
  const auto string = body->string();
  if (base64) {
    auto bytes = string ? auth::from_base64(*string) : fail(Errc::invalid, "no string");
    if (!bytes) return in.refuse("body", "expected base64");
    part.body = std::move(*bytes);
  } else if (string) {
    part.body = *string;
  } else {
    part.body = body->text();
    if (!has(part.fields, "content-type"))
      part.fields.emplace_back("Content-Type", "application/json");
  }
}

Result<BatchPart> read_part(json::Value value, std::string_view tier_header) {
  if (value.kind() != json::Kind::object) return fail(Errc::invalid, "expected an object");
  BatchPart part;
  std::map<std::string, std::string> fields;
  json::Reader in(value);
  in.optional("method", part.method);
  in.required("path", part.path);
  in.optional("headers", fields);
  part.fields.assign(fields.begin(), fields.end());
  read_body(in, part);
  if (auto read = in.finish(); !read) return pass(read);
  part.refusal = refusal_of(part, tier_header);
  return part;
}

bool is_json(std::string_view type) {
  const std::string_view essence = text::trimmed(type.substr(0, type.find(';')));
  const std::string lowered = text::lowered(essence);
  return lowered == "application/json" || lowered.ends_with("+json");
}

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t' && c != '\n' && c != '\r') || byte == 0x7f;
}

// UTF-8 by RFC 3629, without controls.
bool is_text(std::string_view bytes) {
  for (std::size_t i = 0; i < bytes.size();) {
    const auto first = static_cast<unsigned char>(bytes[i]);
    if (first < 0x80) {
      if (is_control(bytes[i])) return false;
      ++i;
      continue;
    }
    const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || bytes.size() - i < length) return false;
    std::uint32_t code = first & (0x7fU >> length);
    for (std::size_t k = 1; k < length; ++k) {
      const auto next = static_cast<unsigned char>(bytes[i + k]);
      if ((next & 0xc0U) != 0x80) return false;
      code = (code << 6U) | (next & 0x3fU);
    }
    const bool shortest =
        length == 2 || (length == 3 && code >= 0x800) || (length == 4 && code >= 0x10000);
    if (!shortest || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return false;
    i += length;
  }
  return true;
}

void write_body(json::Writer& out, std::string_view body, std::string_view type) {
  if (body.empty()) {
    out.key("body").null();
    return;
  }
  const json::Limits limits{Bytes{body.size()}, kDepth};
  if (is_json(type) && json::parse(body, limits)) {
    out.key("body").raw(body);
  } else if (is_text(body)) {
    out.field("body", body);
  } else {
    out.field("body", auth::base64(body)).field("base64", true);
  }
}

// Each name once; what came more than once is a list.
void write_fields(json::Writer& out, const FieldTexts& fields) {
  out.key("headers").begin_object();
  std::map<std::string, std::vector<std::string>> by_name;
  std::vector<const std::string*> order;
  for (const auto& [name, value] : fields) {
    auto& values = by_name[text::lowered(name)];
    if (values.empty()) order.push_back(&name);
    values.push_back(value);
  }
  for (const std::string* name : order) {
    const auto& values = by_name[text::lowered(*name)];
    if (values.size() == 1) {
      out.field(*name, values.front());
    } else {
      out.field(*name, values);
    }
  }
  out.end_object();
}

std::string_view value_of(const FieldTexts& fields, std::string_view name) {
  for (const auto& [each, value] : fields) {
    if (text::equal_ignoring_case(each, name)) return value;
  }
  return {};
}

bool names_a_path(std::string_view cookie) {
  const auto attributes = text::split(cookie, ';');
  return std::ranges::any_of(attributes, [](std::string_view attribute) {
    const auto end = attribute.find('=');
    return end != std::string_view::npos &&
           text::equal_ignoring_case(text::trimmed(attribute.substr(0, end)), "path") &&
           text::trimmed(attribute.substr(end + 1)).starts_with('/');
  });
}

std::string_view default_cookie_path(std::string_view target) {
  const std::string_view path = target.substr(0, target.find_first_of("?;"));
  const auto last = path.rfind('/');
  return last == 0 || last == std::string_view::npos ? "/" : path.substr(0, last);
}

}  // namespace

Result<std::vector<BatchPart>> read_batch(std::string_view text, const BatchOptions& options,
                                          std::string_view tier_header) {
  auto document = json::parse(text, {options.bytes_in, kDepth});
  if (!document) return pass(document);
  const json::Value list = document->root();
  if (list.kind() != json::Kind::array) return fail(Errc::invalid, "expected a list of requests");
  if (list.size() == 0) return fail(Errc::invalid, "the list is empty");
  if (list.size() > options.parts) {
    return fail(Errc::overloaded, std::to_string(list.size()) + " parts; at most " +
                                      std::to_string(options.parts) + " are answered");
  }
  std::vector<BatchPart> parts;
  parts.reserve(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    auto part = read_part(list.item(i), tier_header);
    if (!part) return pass(part, "part " + std::to_string(i));
    parts.push_back(std::move(*part));
  }
  return parts;
}

FieldTexts inherited_fields(const http::RequestHead& batch, std::string_view tier_header) {
  FieldTexts inherited;
  for (const http::Field& field : batch.fields) {
    if (field.hop_by_hop || is_of_the_connection(field.id)) continue;
    if (is_default(field.id) || says_who_asks(field.name, tier_header))
      inherited.emplace_back(field.name, field.value);
  }
  return inherited;
}

void inherit(BatchPart& part, const FieldTexts& inherited) {
  const FieldTexts own = part.fields;
  // Encoded bytes would come back as base64.
  if (!has(own, "accept-encoding")) part.fields.emplace_back("Accept-Encoding", "identity");
  for (const auto& field : inherited) {
    if (!has(own, field.first)) part.fields.push_back(field);
  }
}

std::string write_answer(const InnerAnswer& answer) {
  FieldTexts fields = answer.fields;
  std::erase_if(fields, [](const auto& field) {
    return text::equal_ignoring_case(field.first, "set-cookie");
  });
  std::string text;
  json::Writer out(text);
  out.begin_object().field("status", answer.status);
  write_fields(out, fields);
  const bool encoded = !value_of(fields, "content-encoding").empty();
  write_body(out, answer.body, encoded ? std::string_view{} : value_of(fields, "content-type"));
  out.end_object();
  return text;
}

std::string write_refusal(const PartRefusal& refusal) {
  std::string text;
  json::Writer out(text);
  out.begin_object().field("status", refusal.status);
  out.key("headers").begin_object().field("Content-Type", "application/json").end_object();
  out.key("body").begin_object().key("error").begin_object();
  out.field("code", refusal.code).field("message", refusal.message);
  out.end_object().end_object().end_object();
  return text;
}

std::string cookie_lines(const InnerAnswer& answer, std::string_view path) {
  std::string lines;
  for (const auto& [name, value] : answer.fields) {
    if (!text::equal_ignoring_case(name, "set-cookie")) continue;
    lines.append("Set-Cookie: ").append(value);
    if (!names_a_path(value)) lines.append("; Path=").append(default_cookie_path(path));
    lines.append("\r\n");
  }
  return lines;
}

}  // namespace headroom::edge
