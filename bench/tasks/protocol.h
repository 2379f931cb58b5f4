// bench/tasks/protocol.h - what the load client says in Faktory's protocol and in beanstalkd's, and how it reads the answers.
//
// A job's number is its name and is written into its body, so that each can be followed: pushed, handed out once, done once.
// Limits: whole answers in memory.
#pragma once

#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bench {

enum class Ask : std::uint8_t { hello, push, bulk, fetch, done };

struct Answer {
  std::size_t bytes = 0;  // of the input
  bool good = false;
  std::string_view body{};  // of a job
  std::string_view name{};  // by which it is done
};

class Protocol {
 public:
  virtual ~Protocol() = default;
  virtual void greet(std::string& out) = 0;  // after the server's first line, where it has one
  [[nodiscard]] virtual bool greets() const = 0;
  virtual void push(std::string& out, std::uint64_t number, std::string_view filling) = 0;
  // `count` jobs from `number` on; how many answers come.
  virtual std::size_t push_many(std::string& out, std::uint64_t number, std::size_t count,
                                std::string_view filling) = 0;
  virtual void fetch(std::string& out) = 0;
  virtual void done(std::string& out, std::string_view name) = 0;
  // Nothing: not whole yet.
  [[nodiscard]] virtual std::optional<Answer> read(std::string_view input, Ask asked) = 0;
};

// The number behind `mark`.
inline std::optional<std::uint64_t> number_in(std::string_view body, std::string_view mark) {
  const std::size_t at = body.find(mark);
  std::uint64_t number = 0;
  if (at == std::string_view::npos) return std::nullopt;
  const char* begin = body.data() + at + mark.size();
  if (std::from_chars(begin, body.data() + body.size(), number).ec != std::errc())
    return std::nullopt;
  return number;
}

class Faktory final : public Protocol {
 public:
  [[nodiscard]] bool greets() const override { return true; }
  void greet(std::string& out) override { out += "HELLO {\"v\":2}\r\n"; }
  void push(std::string& out, std::uint64_t number, std::string_view filling) override {
    out += "PUSH ";
    job(out, number, filling);
    out += "\r\n";
  }
  std::size_t push_many(std::string& out, std::uint64_t number, std::size_t count,
                        std::string_view filling) override {
    out += "PUSHB [";
    for (std::size_t i = 0; i < count; ++i) {
      if (i > 0) out += ',';
      job(out, number + i, filling);
    }
    out += "]\r\n";
    return 1;
  }
  void fetch(std::string& out) override { out += "FETCH bench\r\n"; }
  void done(std::string& out, std::string_view name) override {
    out.append("ACK {\"jid\":\"job-").append(name).append("\"}\r\n");
  }
  std::optional<Answer> read(std::string_view input, Ask asked) override {
    const std::size_t end = input.find("\r\n");
    if (end == std::string_view::npos) return std::nullopt;
    if (input[0] != '$') return Answer{end + 2, input[0] == '+', {}, {}};
    std::int64_t size = 0;
    std::from_chars(input.data() + 1, input.data() + end, size);
    if (size < 0) return Answer{end + 2, false, {}, {}};
    const std::size_t whole = end + 2 + static_cast<std::size_t>(size) + 2;
    if (input.size() < whole) return std::nullopt;
    const std::string_view body = input.substr(end + 2, static_cast<std::size_t>(size));
    if (asked == Ask::bulk) return Answer{whole, body == "{}", {}, {}};
    const std::size_t at = body.find("job-") + 4;
    return Answer{whole, true, body, body.substr(at, body.find('"', at) - at)};
  }

 private:
  static void job(std::string& out, std::uint64_t number, std::string_view filling) {
    fmt::format_to(std::back_inserter(out),
                   R"({{"jid":"job-{:012}","queue":"bench","jobtype":"T","args":["{}"]}})", number,
                   filling);
  }
};

class Beanstalkd final : public Protocol {
 public:
  [[nodiscard]] bool greets() const override { return false; }
  void greet(std::string&) override {}
  void push(std::string& out, std::uint64_t number, std::string_view filling) override {
    const std::string body = fmt::format("job-{:012} {}", number, filling);
    fmt::format_to(std::back_inserter(out), "put 5 0 60 {}\r\n{}\r\n", body.size(), body);
  }
  std::size_t push_many(std::string& out, std::uint64_t number, std::size_t count,
                        std::string_view filling) override {
    for (std::size_t i = 0; i < count; ++i) push(out, number + i, filling);
    return count;
  }
  void fetch(std::string& out) override { out += "reserve-with-timeout 2\r\n"; }
  void done(std::string& out, std::string_view name) override {
    out.append("delete ").append(name).append("\r\n");
  }
  std::optional<Answer> read(std::string_view input, Ask asked) override {
    const std::size_t end = input.find("\r\n");
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view line = input.substr(0, end);
    if (asked != Ask::fetch || !line.starts_with("RESERVED ")) {
      return Answer{end + 2, line.starts_with("INSERTED ") || line == "DELETED", {}, {}};
    }
    const std::size_t space = line.find(' ', 9);
    std::size_t size = 0;
    std::from_chars(line.data() + space + 1, line.data() + end, size);
    const std::size_t whole = end + 2 + size + 2;
    if (input.size() < whole) return std::nullopt;
    return Answer{whole, true, input.substr(end + 2, size), line.substr(9, space - 9)};
  }
};

}  // namespace bench
