#include "headroom/http/forwarded.h"

#include <algorithm>
#include <array>

#include "headroom/base/text.h"
#include "headroom/http/parser.h"

namespace headroom::http {
namespace {

constexpr std::size_t kForwardedElements = 32;

// Takes one step to the left: `address` is the next element. Whether the walk goes on.
class ClientWalk {
 public:
  ClientWalk(const IpAddress& peer, std::span<const Cidr> trusted)
      : client_(peer), trusted_(trusted) {}

  [[nodiscard]] bool goes_on() const { return contains_any(trusted_, client_); }
  bool take(const std::optional<IpAddress>& address) {
    if (!address) return false;
    client_ = *address;
    return goes_on();
  }
  [[nodiscard]] const IpAddress& client() const { return client_; }

 private:
  IpAddress client_;
  std::span<const Cidr> trusted_;
};

// The elements of one X-Forwarded-For line, right to left. False when the walk is over.
bool walk_list(std::string_view list, ClientWalk& walk) {
  for (;;) {
    const auto comma = list.rfind(',');
    const auto begin = comma == std::string_view::npos ? 0 : comma + 1;
    if (!walk.take(parse_address_with_port(text::trimmed(list.substr(begin))))) return false;
    if (comma == std::string_view::npos) return true;
    list = list.substr(0, comma);
  }
}

// The end of a token or a quoted string that begins at `at`.
std::size_t skip_value(std::string_view text, std::size_t at) {
  if (at >= text.size() || text[at] != '"')
    return std::min(text.find_first_of(";,", at), text.size());
  for (++at; at < text.size() && text[at] != '"'; ++at) {
    if (text[at] == '\\') ++at;
  }
  return std::min(at + 1, text.size());
}

std::string_view unquoted(std::string_view text) {
  const bool quoted = text.size() >= 2 && text.front() == '"' && text.back() == '"';
  return quoted ? text.substr(1, text.size() - 2) : text;
}

// The last kForwardedElements values of `for`, over all lines, oldest first. An element without one is an empty view.
class ForwardedNodes {
 public:
  void read(std::string_view line) {
    std::string_view node;
    for (std::size_t at = 0; at <= line.size(); ++at) {
      const std::size_t equals = line.find_first_of("=;,", at);
      std::size_t end = equals;
      if (equals != std::string_view::npos && line[equals] == '=') {
        end = skip_value(line, equals + 1);
        if (text::equal_ignoring_case(text::trimmed(line.substr(at, equals - at)), "for")) {
          node = unquoted(text::trimmed(line.substr(equals + 1, end - equals - 1)));
        }
        end = line.find_first_of(";,", end);
      }
      at = std::min(end, line.size());
      if (at == line.size() || line[at] == ',') push(node);
    }
  }
  // From the right.
  bool walk(ClientWalk& walk) const {
    for (std::size_t back = 1; back <= std::min(count_, kForwardedElements); ++back) {
      if (!walk.take(parse_address_with_port(nodes_[(count_ - back) % kForwardedElements])))
        return false;
    }
    return true;
  }

 private:
  void push(std::string_view& node) {
    nodes_[count_++ % kForwardedElements] = node;
    node = {};
  }

  std::array<std::string_view, kForwardedElements> nodes_{};
  std::size_t count_ = 0;
};

void append_received(std::string& out, const Head& received, Name name) {
  if (!received.has(name)) return;
  for (const Field& field : received.fields) {
    if (field.id != name || field.value.empty()) continue;
    out += field.value;
    out += ", ";
  }
}

void append_quoted(std::string& out, std::string_view value) {
  if (is_token(value)) {
    out += value;
    return;
  }
  out += '"';
  for (const char c : value) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

}  // namespace

IpAddress client_address(const IpAddress& peer, const Head& head, std::span<const Cidr> trusted,
                         ClientHeader header) {
  ClientWalk walk(peer, trusted);
  const Name name = header == ClientHeader::forwarded ? Name::forwarded : Name::x_forwarded_for;
  if (!head.has(name) || !walk.goes_on()) return walk.client();
  if (header == ClientHeader::forwarded) {
    ForwardedNodes nodes;
    for (const Field& field : head.fields) {
      if (field.id == name) nodes.read(field.value);
    }
    nodes.walk(walk);
    return walk.client();
  }
  for (std::size_t i = head.fields.size(); i > 0; --i) {
    const Field& field = head.fields[i - 1];
    if (field.id == name && !walk_list(field.value, walk)) break;
  }
  return walk.client();
}

void append_x_forwarded_for(std::string& out, const Head* received, const IpAddress& client) {
  if (received != nullptr) append_received(out, *received, Name::x_forwarded_for);
  out += to_string(client);
}

void append_forwarded(std::string& out, const Head* received, const Hop& hop) {
  if (received != nullptr) append_received(out, *received, Name::forwarded);
  const std::string client = to_string(hop.client);
  out += "for=";
  append_quoted(out, hop.client.is_v4() ? client : "[" + client + "]");
  if (!hop.host.empty()) {
    out += ";host=";
    append_quoted(out, hop.host);
  }
  out += ";proto=";
  out += hop.scheme;
}

void append_via(std::string& out, const Head& received, std::string_view pseudonym) {
  append_received(out, received, Name::via);
  out += received.minor_version == 0 ? "1.0 " : "1.1 ";
  out += pseudonym;
}

}  // namespace headroom::http
