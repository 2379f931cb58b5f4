#include "headroom/edge/pagination.h"

#include <algorithm>

#include "headroom/auth/crypto.h"
#include "headroom/base/text.h"
#include "headroom/edge/batch_part.h"
#include "headroom/edge/request.h"
#include "headroom/json/json.h"

namespace headroom::edge {
namespace {

constexpr std::size_t kMostCountBytes = 64U << 10U;

// The fields of a query as they came, "name=value".
std::vector<std::string_view> fields_of(std::string_view query) {
  std::vector<std::string_view> fields;
  while (!query.empty()) {
    const auto end = std::min(query.find('&'), query.size());
    if (end > 0) fields.push_back(query.substr(0, end));
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  return fields;
}

std::string_view name_of(std::string_view field) { return field.substr(0, field.find('=')); }

std::optional<std::uint64_t> number_of(const std::vector<std::string_view>& fields,
                                       std::string_view name) {
  for (const std::string_view field : fields) {
    if (name.empty() || name_of(field) != name || field.size() <= name.size()) continue;
    const auto number = text::to_u64(field.substr(name.size() + 1));
    return number && *number <= Pagination::kMostNumber ? number : std::nullopt;
  }
  return std::nullopt;
}

// What would end a reference within < > or a quoted string.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '<') {
      out += "%3C";
    } else if (c == '>') {
      out += "%3E";
    } else if (c == '"') {
      out += "%22";
    } else {
      out += c;
    }
  }
  return out;
}

std::optional<std::uint64_t> whole(std::optional<std::uint64_t> total) {
  return total && *total <= Pagination::kMostNumber ? total : std::nullopt;
}

}  // namespace

std::optional<std::uint64_t> Totals::find(const Key& key, TimePoint now) const {
  const auto at = known_.find(key);
  return at == known_.end() || at->second.until <= now ? std::nullopt : at->second.total;
}

bool Totals::begin(const Key& key, TimePoint now, Duration patience) {
  const auto at = known_.find(key);
  if (at != known_.end() && at->second.until > now) return false;
  make_room(now);
  known_[key] = {std::nullopt, now + patience};
  return true;
}

void Totals::put(const Key& key, std::uint64_t total, TimePoint until) {
  make_room(Clock::now());
  known_[key] = {total, until};
}

void Totals::make_room(TimePoint now) {
  if (known_.size() < kMostTotals) return;
  std::erase_if(known_, [&](const auto& each) { return each.second.until <= now; });
  if (known_.size() >= kMostTotals) known_.erase(known_.begin());  // any: keys are digests
}

bool Pagination::is_page_field(std::string_view name) const {
  return !name.empty() &&
         (name == options_.page || name == options_.offset || name == options_.limit);
}

std::optional<Pagination::Part> Pagination::part_of(const http::RequestHead& head) const {
  if (head.method != http::Method::get && head.method != http::Method::head) return std::nullopt;
  const auto fields = fields_of(head.query);
  const auto limit = number_of(fields, options_.limit);
  Part part;
  part.limit = limit.value_or(options_.default_limit);
  if (part.limit == 0) return std::nullopt;
  const auto offset = number_of(fields, options_.offset);
  part.by_page = !offset && !options_.page.empty();
  part.start = part.by_page ? number_of(fields, options_.page).value_or(1) : offset.value_or(0);
  if (part.by_page && part.start == 0) return std::nullopt;
  return part;
}

std::string Pagination::list_query(const http::RequestHead& head) const {
  std::string query;
  for (const std::string_view field : fields_of(head.query)) {
    if (is_page_field(name_of(field))) continue;
    if (!query.empty()) query += '&';
    query += field;
  }
  return query;
}

std::string Pagination::reference(const http::RequestHead& head, const Part& part,
                                  std::uint64_t start) const {
  const std::string& name = part.by_page ? options_.page : options_.offset;
  const std::string ours = name + "=" + std::to_string(start);
  std::string query;
  bool written = false;
  for (const std::string_view field : fields_of(head.query)) {
    const bool replaced = name_of(field) == name;
    if (replaced && written) continue;
    if (!query.empty()) query += '&';
    query += replaced ? std::string_view(ours) : field;
    written = written || replaced;
  }
  if (!written) query.append(query.empty() ? "" : "&").append(ours);
  return escaped(head.path) + "?" + escaped(query);
}

std::string Pagination::link_line(const http::RequestHead& head, const Part& part,
                                  std::optional<std::uint64_t> total) const {
  std::string line = "Link: ";
  const auto add = [&](std::string_view rel, std::uint64_t start) {
    if (line.size() > 6) line += ", ";
    line.append("<")
        .append(reference(head, part, start))
        .append(">; rel=\"")
        .append(rel)
        .append("\"");
  };
  const std::uint64_t first = part.by_page ? 1 : 0;
  const std::uint64_t step = part.by_page ? 1 : part.limit;
  std::optional<std::uint64_t> last;
  if (total) last = first + (*total == 0 ? 0 : (*total - 1) / part.limit) * step;
  add("first", first);
  if (part.start > first) add("prev", part.start - std::min(step, part.start - first));
  if (!last || part.start < *last) add("next", part.start + step);
  if (last) add("last", *last);
  return line + "\r\n";
}

Totals::Key Pagination::key_of(const http::RequestHead& head) const {
  std::string text(head.authority);
  text.append("\n").append(head.path).append("\n").append(list_query(head));
  for (const http::Field& field : head.fields) {
    if (field.id == http::Name::authorization || field.id == http::Name::cookie)
      text.append("\n").append(field.value);
  }
  return auth::sha256(text);
}

net::Task<> Pagination::prepare(const Request& r, InnerDoor& door) {
  if (options_.count_path.empty() || r.head().path == options_.count_path) co_return;
  if (!part_of(r.head())) co_return;
  Totals& totals = totals_[r.x.worker().index()];
  const Totals::Key key = key_of(r.head());
  if (!totals.begin(key, Clock::now(), kPatience)) co_return;
  const auto total = co_await ask(r, door);
  if (total) {
    totals.put(key, *total, Clock::now() + options_.total_ttl);
  } else {
    totals.forget(key);
  }
}

net::Task<std::optional<std::uint64_t>> Pagination::ask(const Request& r, InnerDoor& door) const {
  const http::Peer& peer = r.x.peer();
  InnerClient client(r.x.group(), door, {peer.address, r.x.local(), peer.tls, peer.known});
  FieldTexts fields = inherited_fields(r.head(), r.view.limits->tier_header());
  fields.emplace_back("Accept-Encoding", "identity");
  const std::string query = list_query(r.head());
  const std::string target = options_.count_path + (query.empty() ? "" : "?" + query);
  const InnerRequest request{"GET", target, r.head().authority, fields, {}};
  std::size_t kept = 0;
  InnerBounds bounds;
  bounds.deadline = Clock::now() + kPatience;
  bounds.room = [&kept](std::size_t bytes) { return (kept += bytes) <= kMostCountBytes; };
  auto answer = co_await client.ask(request, bounds);
  if (!answer || answer->status != 200) co_return std::nullopt;
  co_return total_in(*answer);
}

// From total_header, or a body that is a number or an object that has it as count_field.
std::optional<std::uint64_t> Pagination::total_in(const InnerAnswer& answer) const {
  for (const auto& [name, value] : answer.fields) {
    if (text::equal_ignoring_case(name, options_.total_header)) return whole(text::to_u64(value));
  }
  const auto document = json::parse(answer.body);
  if (!document) return std::nullopt;
  if (auto number = document->root().natural()) return whole(number);
  const auto member = document->root().find(options_.count_field);
  return member ? whole(member->natural()) : std::nullopt;
}

void Pagination::append_lines(std::string& out, const Request& r,
                              const http::ResponseHead& answer) {
  const bool fits = (answer.status == 200 || answer.status == 206 || answer.status == 304);
  if (!fits || answer.has(http::Name::link)) return;
  const auto part = part_of(r.head());
  if (!part) return;
  Totals& totals = totals_[r.x.worker().index()];
  const TimePoint now = Clock::now();
  const http::Field* said =
      options_.total_header.empty() ? nullptr : answer.find(options_.total_header);
  std::optional<std::uint64_t> total;
  if (said != nullptr) {
    total = whole(text::to_u64(said->value));
    if (total) totals.put(key_of(r.head()), *total, now + options_.total_ttl);
  } else {
    total = totals.find(key_of(r.head()), now);
    if (total && !options_.total_header.empty())
      out.append(options_.total_header).append(": ").append(std::to_string(*total)).append("\r\n");
  }
  out += link_line(r.head(), *part, total);
}

}  // namespace headroom::edge
