#include "headroom/server/top.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>

#include "headroom/base/text.h"
#include "headroom/server/admin_client.h"
#include "headroom/server/admin_door.h"
#include "headroom/server/options.h"
#include "headroom/server/supervisor.h"
#include "headroom/server/top_screen.h"

namespace headroom::server {
namespace {

constexpr int kFailed = 1;
constexpr int kBadUsage = 2;
constexpr std::size_t kOnceWidth = 80;  // where there is no terminal to ask
constexpr std::size_t kMostToken = 16U << 10U;
constexpr std::string_view kTokenAdvice =
    "make one with `headroom token create --name top --role viewer`, and give it by HEADROOM_TOKEN "
    "or --token-file";

int say(int code, std::string_view message) {
  fmt::print(stderr, "headroom: {}\n", message);
  return code;
}

Result<net::Endpoint> door_of(const SettingsRequest& request) {
  auto settings = load_settings(request);
  if (!settings) return pass(settings);
  const auto& admin = (*settings)->get<AdminOptions>();
  if (!admin.enabled)
    return fail(Errc::invalid, "[admin] enabled is false: there is nobody to ask");
  auto listen = endpoint_of(admin.listen);
  if (!listen) return pass(listen, "admin.listen");
  if (listen->port() == 0 && !listen->is_unix())
    return fail(
        Errc::invalid,
        "admin.listen has port 0: name the one it listens on, --set admin.listen=127.0.0.1:PORT");
  return door_to_ask(*listen);
}

Result<std::string> token_of(const TopFlags& flags) {
  std::string token;
  if (flags.token_file.empty()) {
    const char* given =
        std::getenv("HEADROOM_TOKEN");  // NOLINT(concurrency-mt-unsafe): before threads start
    token = given == nullptr ? "" : given;
  } else {
    std::ifstream file(flags.token_file);
    token.resize(kMostToken);
    file.read(token.data(), static_cast<std::streamsize>(token.size()));
    if (file.bad() || !file.is_open())
      return fail(Errc::invalid, fmt::format("--token-file: {} cannot be read", flags.token_file));
    token.resize(static_cast<std::size_t>(file.gcount()));
  }
  while (!token.empty() && std::string_view(" \t\r\n").contains(token.back())) token.pop_back();
  if (token.empty()) return fail(Errc::invalid, fmt::format("no token: {}", kTokenAdvice));
  const bool sendable = std::ranges::all_of(token, [](char c) { return c > ' ' && c <= '~'; });
  if (!sendable) return fail(Errc::invalid, fmt::format("that is no token: {}", kTokenAdvice));
  return token;
}

// One question; nothing where the server has no such room.
Result<std::optional<json::Document>> part(AdminClient& client, const std::string& path) {
  auto answer = client.get(path);
  if (!answer) return pass(answer);
  if (answer->status == 401 || answer->status == 429)  // 429: bad, as many before it
    return fail(Errc::unauthorized, fmt::format("the token is not accepted: {}", kTokenAdvice));
  if (answer->status == 403)
    return fail(Errc::unauthorized, "the token's role may not read the overview");
  if (answer->status == 404) return std::optional<json::Document>();
  if (answer->status != 200)
    return fail(Errc::unavailable, fmt::format("{} answered {}", path, answer->status));
  auto document = json::parse(answer->body, {.bytes = Bytes::mib(16)});
  if (!document)
    return fail(Errc::protocol,
                fmt::format("{} answered what is no JSON: is this Headroom's admin door?", path));
  return std::optional(std::move(*document));
}

Result<std::unique_ptr<TopSample>> look(AdminClient& client) {
  auto sample = std::make_unique<TopSample>();
  sample->at = Clock::now();
  const std::pair<const char*, std::optional<json::Document> TopSample::*> parts[] = {
      {"/api/v1/overview", &TopSample::overview},   {"/api/v1/now", &TopSample::now},
      {"/api/v1/upstreams", &TopSample::upstreams}, {"/api/v1/routes", &TopSample::routes},
      {"/api/v1/cache/stats", &TopSample::cache},   {"/api/v1/sql/pools", &TopSample::sql},
      {"/api/v1/realtime", &TopSample::realtime},   {"/api/v1/tasks/stats", &TopSample::tasks}};
  for (const auto& [path, member] : parts) {
    auto answer = part(client, path);
    if (!answer) return pass(answer);
    (*sample).*member = std::move(*answer);
  }
  if (!sample->overview)
    return fail(Errc::protocol, "there is no /api/v1/overview: is this Headroom's admin door?");
  return sample;
}

std::string_view colour(Mood mood) {
  switch (mood) {
    case Mood::plain: return "";
    case Mood::title: return "\x1b[7m";
    case Mood::good: return "\x1b[32m";
    case Mood::warning: return "\x1b[33m";
    case Mood::bad: return "\x1b[31m";
  }
  return "";
}

// The terminal while top has it: a screen of its own, keys as they are pressed.
class Terminal {
 public:
  Terminal() : coloured_(std::getenv("NO_COLOR") == nullptr) {  // NOLINT(concurrency-mt-unsafe)
    keyed_ = ::tcgetattr(STDIN_FILENO, &before_) == 0;
    if (keyed_) {
      termios raw = before_;
      raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
      ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    write("\x1b[?1049h\x1b[?25l");
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  ~Terminal() {
    write("\x1b[?25h\x1b[?1049l");
    if (keyed_) ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }

  [[nodiscard]] bool keyed() const { return keyed_; }

  static winsize size() {
    winsize size{};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
      return {.ws_row = 24, .ws_col = 80, .ws_xpixel = 0, .ws_ypixel = 0};
    return size;
  }

  void show(const std::vector<TopLine>& lines) const {
    std::string out = "\x1b[H";
    const std::size_t rows = size().ws_row;
    for (std::size_t i = 0; i < std::min(lines.size(), rows); ++i) {
      const std::string_view tint =
          coloured_ || lines[i].mood == Mood::title ? colour(lines[i].mood) : "";
      out += fmt::format("{}{}{}\x1b[K{}", tint, lines[i].text, tint.empty() ? "" : "\x1b[0m",
                         i + 1 < rows ? "\n" : "");
    }
    write(out + "\x1b[J");
  }

 private:
  static void write(std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }

  const bool coloured_;
  bool keyed_ = false;
  termios before_{};
};

// Waits for the next second; true when it is over: q, Ctrl-C, or the terminal has gone.
bool ended(int signals, bool keyed) {
  pollfd watched[] = {{signals, POLLIN, 0}, {keyed ? STDIN_FILENO : -1, POLLIN, 0}};
  const TimePoint until = Clock::now() + 1s;
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count();
    if (left <= 0 || ::poll(watched, 2, static_cast<int>(left)) <= 0) return false;
    if (watched[0].revents != 0) return true;
    char key = 0;
    if (watched[1].revents != 0 && (::read(STDIN_FILENO, &key, 1) <= 0 || key == 'q' || key == 'Q'))
      return true;
  }
}

int watch(AdminClient& client, int signals, const std::string& door,
          std::unique_ptr<TopSample> sample) {
  std::string refused;
  {
    const Terminal terminal;
    std::unique_ptr<TopSample> before;
    std::string problem;
    while (refused.empty()) {
      const std::size_t width = Terminal::size().ws_col;
      auto lines = top_lines(*sample, before.get(), door, width);
      if (!problem.empty()) lines.insert(lines.begin(), {problem.substr(0, width), Mood::bad});
      terminal.show(lines);
      if (ended(signals, terminal.keyed())) break;
      auto next = look(client);
      if (next) {
        before = std::exchange(sample, std::move(*next));
        problem.clear();
      } else if (next.error().code == Errc::unauthorized) {
        refused = next.error().message;
      } else {
        problem = next.error().message;  // it may come back: what was seen last stays
      }
    }
  }
  return refused.empty() ? 0 : say(kFailed, refused);
}

}  // namespace

int top(const SettingsRequest& request, const TopFlags& flags) {
  auto door = door_of(request);
  if (!door) return say(kBadUsage, door.error().message);
  auto token = token_of(flags);
  if (!token) return say(kBadUsage, token.error().message);
  if (!flags.once && ::isatty(STDOUT_FILENO) == 0)
    return say(kBadUsage, "standard output is no terminal: --once prints the overview and ends");
  // Before the client has a thread, so that no signal ends the process with the terminal changed.
  const int signals = flags.once ? -1 : signals_descriptor();
  AdminClient client(*door, std::move(*token));
  auto sample = look(client);
  if (!sample) return say(kFailed, sample.error().message);
  const std::string name = door->to_string();
  if (!flags.once) return watch(client, signals, name, std::move(*sample));
  const std::size_t width = ::isatty(STDOUT_FILENO) != 0 ? Terminal::size().ws_col : kOnceWidth;
  for (const TopLine& line : top_lines(**sample, nullptr, name, width))
    fmt::print("{}\n", line.text);
  return 0;
}

int health(const SettingsRequest& request, const std::string& probe) {
  auto door = door_of(request);
  if (!door) return say(kBadUsage, door.error().message);
  AdminClient client(*door, "");
  auto answer = client.get("/" + probe);
  if (!answer) return say(kFailed, answer.error().message);
  fmt::print("{}", answer->body);
  return answer->status == 200 ? 0 : kFailed;
}

}  // namespace headroom::server
