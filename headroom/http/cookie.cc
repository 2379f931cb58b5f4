#include "headroom/http/cookie.h"

#include <algorithm>

#include "headroom/base/text.h"

namespace headroom::http {

std::size_t cut_cookie(std::span<char> value, std::string_view name,
                       std::vector<std::string>& taken) {
  const std::string_view all(value.data(), value.size());
  const std::size_t before = taken.size();
  std::string rest;
  for (const std::string_view pair : text::split(all, ';')) {
    const std::size_t equals = pair.find('=');
    if (equals != std::string_view::npos && text::trimmed(pair.substr(0, equals)) == name) {
      taken.emplace_back(text::trimmed(pair.substr(equals + 1)));
    } else if (!pair.empty()) {
      rest.append(rest.empty() ? "" : "; ").append(pair);
    }
  }
  if (taken.size() == before || rest.size() > value.size()) return value.size();
  std::ranges::copy(rest, value.begin());
  return rest.size();
}

}  // namespace headroom::http
