#include "headroom/fwp/command.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "headroom/base/text.h"
#include "headroom/json/raw.h"
#include "headroom/json/reader.h"

namespace headroom::fwp {
namespace {

constexpr std::array<std::pair<std::string_view, Verb>, 14> kVerbs{{{"ACK", Verb::ack},
                                                                    {"BATCH", Verb::batch},
                                                                    {"BEAT", Verb::beat},
                                                                    {"END", Verb::end},
                                                                    {"FAIL", Verb::fail},
                                                                    {"FETCH", Verb::fetch},
                                                                    {"FLUSH", Verb::flush},
                                                                    {"HELLO", Verb::hello},
                                                                    {"INFO", Verb::info},
                                                                    {"MUTATE", Verb::mutate},
                                                                    {"PUSH", Verb::push},
                                                                    {"PUSHB", Verb::pushb},
                                                                    {"QUEUE", Verb::queue},
                                                                    {"TRACK", Verb::track}}};

constexpr std::size_t kErrtypeLimit = 100;
constexpr std::size_t kMessageLimit = 1000;
constexpr std::size_t kBacktraceLimit = 50;
constexpr std::size_t kBacktraceLine = 1000;

Result<json::Document> parse(std::string_view text) {
  auto document = json::parse(text, {.bytes = Bytes{text.size()}, .depth = kDepth});
  if (!document) return pass(document, "Invalid JSON");
  if (document->root().kind() != json::Kind::object)
    return fail(Errc::invalid, "Invalid JSON: expected an object");
  return document;
}

// Members that are not known are passed over.
class Members : public json::Reader {
 public:
  explicit Members(json::Value object) : Reader(object) { allow_others(); }
};

// At most `bytes` of it, not in the midst of a UTF-8 character.
void cut(std::string& text, std::size_t bytes) {
  if (text.size() <= bytes) return;
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xc0U) == 0x80U) --bytes;
  text.resize(bytes);
}

Result<> check_word(std::string_view what, std::string_view word) {
  if (word.size() > kWordLimit)
    return fail(Errc::invalid, fmt::format("{} is longer than {} characters", what, kWordLimit));
  const bool printable = std::ranges::all_of(word, [](char c) { return c > ' ' && c < 0x7f; });
  if (!printable)
    return fail(Errc::invalid, fmt::format("{} must be printable ASCII without spaces", what));
  return {};
}

template <class E, std::size_t N>
Result<E> choose(std::string_view what, std::string_view word,
                 const std::array<std::pair<std::string_view, E>, N>& choices) {
  for (const auto& [name, value] : choices) {
    if (text::equal_ignoring_case(name, word)) return value;
  }
  std::string known;
  for (const auto& [name, value] : choices)
    known += (known.empty() ? "" : ", ") + std::string(name);
  return fail(Errc::invalid, fmt::format("unknown {}: expected one of {}", what, known));
}

std::pair<std::string_view, std::string_view> first_word(std::string_view text) {
  const std::size_t space = text.find(' ');
  if (space == std::string_view::npos) return {text, {}};
  return {text.substr(0, space), text.substr(space + 1)};
}

std::string_view without_space(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

bool class_matches(std::string_view pattern, std::size_t& at, char c) {
  std::size_t p = at + 1;
  const bool negated = p < pattern.size() && pattern[p] == '^';
  if (negated) ++p;
  bool found = false;
  for (; p < pattern.size() && pattern[p] != ']'; ++p) {
    if (pattern[p] == '\\' && p + 1 < pattern.size()) ++p;
    if (p + 2 < pattern.size() && pattern[p + 1] == '-' && pattern[p + 2] != ']') {
      found = found || (std::min(pattern[p], pattern[p + 2]) <= c &&
                        c <= std::max(pattern[p], pattern[p + 2]));
      p += 2;
    } else {
      found = found || pattern[p] == c;
    }
  }
  at = std::min(p + 1, pattern.size());
  return found != negated;
}

// One element of a pattern that is no star; moves `at` behind it.
bool one_matches(std::string_view pattern, std::size_t& at, char c) {
  switch (pattern[at]) {
    case '?': ++at; return true;
    case '[': return class_matches(pattern, at, c);
    case '\\':
      if (at + 1 < pattern.size()) ++at;
      [[fallthrough]];
    default: return pattern[at++] == c;
  }
}

}  // namespace

Command parse_command(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  const auto [name, arguments] = first_word(line);
  for (const auto& [known, verb] : kVerbs) {
    if (known == name) return {verb, name, text::trimmed(arguments)};
  }
  return {Verb::unknown, name, arguments};
}

Result<Hello> parse_hello(std::string_view arguments) {
  auto document = parse(arguments);
  if (!document) return pass(document);
  Hello hello;
  Members in(document->root());
  in.optional("v", hello.version);
  in.optional("wid", hello.wid);
  in.optional("hostname", hello.hostname);
  in.optional("username", hello.username);
  in.optional("pwdhash", hello.pwdhash);
  in.optional("pid", hello.pid);
  in.optional("labels", hello.labels);
  if (auto read = in.finish(); !read) return pass(read);
  if (auto good = check_word("wid", hello.wid); !good) return pass(good);
  cut(hello.hostname, kWordLimit);
  cut(hello.username, kWordLimit);
  if (hello.labels.size() > 10) hello.labels.resize(10);
  for (std::string& label : hello.labels) cut(label, kWordLimit);
  return hello;
}

Result<Beat> parse_beat(std::string_view arguments) {
  auto document = parse(arguments);
  if (!document) return pass(document);
  Beat beat;
  Members in(document->root());
  in.required("wid", beat.wid);
  in.optional("current_state", beat.state);
  in.optional("rss_kb", beat.rss_kb);
  in.optional("cancels", beat.cancels);
  if (auto read = in.finish(); !read) return pass(read);
  cut(beat.state, kWordLimit);
  return beat;
}

Result<Ack> parse_ack(std::string_view arguments) {
  auto document = parse(arguments);
  if (!document) return pass(document);
  Ack ack;
  Members in(document->root());
  in.required("jid", ack.jid);
  if (auto read = in.finish(); !read) return pass(read);
  if (const auto result = document->root().find("result"); result && !result->is_null())
    ack.result = json::raw_member(arguments, "result");
  return ack;
}

Result<Fail> parse_fail(std::string_view arguments) {
  auto document = parse(arguments);
  if (!document) return pass(document);
  Fail fail;
  Members in(document->root());
  in.required("jid", fail.jid);
  in.optional("errtype", fail.errtype);
  in.optional("message", fail.message);
  in.optional("backtrace", fail.backtrace);
  if (auto read = in.finish(); !read) return pass(read);
  cut(fail.errtype, kErrtypeLimit);
  cut(fail.message, kMessageLimit);
  if (fail.backtrace.size() > kBacktraceLimit) fail.backtrace.resize(kBacktraceLimit);
  for (std::string& line : fail.backtrace) cut(line, kBacktraceLine);
  return fail;
}

Result<std::vector<std::string>> parse_words(std::string_view arguments) {
  std::vector<std::string> words;
  for (std::string_view rest = arguments; !rest.empty();) {
    const auto [word, behind] = first_word(rest);
    rest = behind;
    if (word.empty()) continue;
    if (auto good = check_word("a queue name", word); !good) return pass(good);
    if (words.size() == kWordsLimit)
      return fail(Errc::invalid, fmt::format("more than {} queues", kWordsLimit));
    words.emplace_back(word);
  }
  return words;
}

Result<Mutate> parse_mutate(std::string_view arguments) {
  auto document = parse(arguments);
  if (!document) return pass(document);
  std::string cmd;
  std::string target;
  Mutate mutate;
  Members in(document->root());
  in.required("cmd", cmd);
  in.required("target", target);
  in.optional_object("filter", [&](json::Reader& filter) {
    filter.optional("jids", mutate.jids);
    filter.optional("jobtype", mutate.jobtype);
    filter.optional("regexp", mutate.pattern);
    filter.allow_others();
  });
  if (auto read = in.finish(); !read) return pass(read);
  using Act = Mutate::Act;
  using Target = Mutate::Target;
  constexpr std::array<std::pair<std::string_view, Act>, 4> kActs{{{"requeue", Act::requeue},
                                                                   {"discard", Act::discard},
                                                                   {"kill", Act::kill},
                                                                   {"clear", Act::clear}}};
  constexpr std::array<std::pair<std::string_view, Target>, 3> kTargets{
      {{"scheduled", Target::scheduled}, {"retries", Target::retries}, {"dead", Target::dead}}};
  auto act = choose("cmd", cmd, kActs);
  if (!act) return pass(act);
  auto where = choose("target", target, kTargets);
  if (!where) return pass(where);
  mutate.act = *act;
  mutate.target = *where;
  return mutate;
}

Result<QueueAct> parse_queue_act(std::string_view arguments) {
  using Act = QueueAct::Act;
  constexpr std::array<std::pair<std::string_view, Act>, 4> kActs{{{"PAUSE", Act::pause},
                                                                   {"RESUME", Act::resume},
                                                                   {"REMOVE", Act::remove},
                                                                   {"LATENCY", Act::latency}}};
  const auto [word, rest] = first_word(arguments);
  auto act = choose("QUEUE command", word, kActs);
  if (!act) return pass(act);
  auto queues = parse_words(rest);
  if (!queues) return pass(queues);
  if (queues->empty()) return fail(Errc::invalid, "name one or more queues, or *");
  return QueueAct{*act, std::move(*queues)};
}

Result<Track> parse_track(std::string_view arguments) {
  const auto [word, rest] = first_word(arguments);
  Track track;
  if (word == "GET") {
    track.jid = text::trimmed(rest);
  } else if (word == "SET") {
    track.set = true;
    auto document = parse(rest);
    if (!document) return pass(document);
    Members in(document->root());
    in.required("jid", track.jid);
    in.optional("percent", track.percent);
    in.optional("desc", track.desc);
    in.optional("reserve_until", track.reserve_until);
    if (auto read = in.finish(); !read) return pass(read);
    if (track.desc) cut(*track.desc, kMessageLimit);
  } else {
    return fail(Errc::invalid, "expected TRACK GET or TRACK SET");
  }
  if (auto good = check_word("jid", track.jid); !good) return pass(good);
  return track;
}

Result<BatchAct> parse_batch(std::string_view arguments) {
  using Act = BatchAct::Act;
  constexpr std::array<std::pair<std::string_view, Act>, 4> kActs{{{"NEW", Act::create},
                                                                   {"OPEN", Act::open},
                                                                   {"COMMIT", Act::commit},
                                                                   {"STATUS", Act::status}}};
  const auto [word, rest] = first_word(arguments);
  auto act = choose("BATCH command", word, kActs);
  if (!act) return pass(act);
  BatchAct batch{.act = *act, .bid = {}, .definition = {}};
  if (*act == Act::create) {
    batch.definition = rest;
    return batch;
  }
  batch.bid = text::trimmed(rest);
  if (batch.bid.empty()) return fail(Errc::invalid, "name a batch");
  if (auto good = check_word("a bid", batch.bid); !good) return pass(good);
  return batch;
}

namespace {

// Where the string that begins at `i` ends: the first quotation mark behind an even number of backslashes.
std::size_t end_of_string(std::string_view text, std::size_t i) {
  for (std::size_t begin = i;; ++i) {
    i = text.find('"', i);
    if (i == std::string_view::npos) return i;
    std::size_t slashes = 0;
    while (i - slashes > begin && text[i - slashes - 1] == '\\') ++slashes;
    if (slashes % 2 == 0) return i;
  }
}

}  // namespace

namespace {

// What commas part on the first level of what stands between brackets.
Result<std::vector<std::string_view>> split(std::string_view text, std::size_t most) {
  std::vector<std::string_view> parts;
  if (without_space(text).empty()) return parts;
  const auto wrong = [] { return fail(Errc::invalid, "Invalid JSON: brackets that do not fit"); };
  std::size_t depth = 0;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') {
      i = end_of_string(text, i + 1);
      if (i == std::string_view::npos) return wrong();
    } else if (c == '[' || c == '{') {
      ++depth;
    } else if (c == ']' || c == '}') {
      if (depth-- == 0) return wrong();
    } else if (c == ',' && depth == 0) {
      if (parts.size() + 1 == most)
        return fail(Errc::invalid, fmt::format("more than {} at once", most));
      parts.push_back(without_space(text.substr(begin, i - begin)));
      begin = i + 1;
    }
  }
  if (depth != 0) return wrong();
  parts.push_back(without_space(text.substr(begin)));
  return parts;
}

// What stands between an outer pair of brackets.
Result<std::string_view> inside(std::string_view text, char open, char close,
                                std::string_view what) {
  text = without_space(text);
  if (text.size() < 2 || text.front() != open || text.back() != close)
    return fail(Errc::invalid, fmt::format("Invalid JSON: expected {}", what));
  return text.substr(1, text.size() - 2);
}

}  // namespace

Result<std::vector<std::string_view>> elements_of(std::string_view text) {
  const auto list = inside(text, '[', ']', "an array");
  if (!list) return fail(list.error().code, list.error().message);
  return split(*list, kElementsLimit);
}

Result<std::vector<Member>> members_of(std::string_view text) {
  const auto list = inside(text, '{', '}', "an object");
  if (!list) return fail(list.error().code, list.error().message);
  auto parts = split(*list, std::string_view::npos);
  if (!parts) return pass(parts);
  std::vector<Member> members;
  for (const std::string_view part : *parts) {
    const std::size_t end = part.starts_with('"') ? end_of_string(part, 1) : std::string_view::npos;
    const std::size_t colon = end == std::string_view::npos ? end : part.find(':', end);
    if (colon == std::string_view::npos)
      return fail(Errc::invalid, "Invalid JSON: expected a name and a value");
    members.push_back({part.substr(0, end + 1), without_space(part.substr(colon + 1))});
  }
  return members;
}

namespace {

// The plain text with which a pattern goes on.
std::string_view plain_start(std::string_view pattern) {
  return pattern.substr(0, pattern.find_first_of("*?[\\"));
}

}  // namespace

// The last star takes more and more: no recursion. Plain text behind it is searched for, not tried byte by byte.
bool glob_matches(std::string_view pattern, std::string_view text) {
  constexpr std::size_t kNone = std::string_view::npos;
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = kNone;
  std::size_t star_took = 0;
  for (std::size_t steps = 0; t < text.size(); ++steps) {
    if (steps == kMostGlobSteps) return false;
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      t = text.find(plain_start(pattern.substr(p)), t);
      if (t == kNone) return false;
      star_took = t;
      continue;
    }
    std::size_t next = p;
    if (p < pattern.size() && one_matches(pattern, next, text[t])) {
      p = next;
      ++t;
    } else if (star != kNone) {
      p = star + 1;
      t = text.find(plain_start(pattern.substr(p)), ++star_took);
      if (t == kNone) return false;
      star_took = t;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace headroom::fwp
