// headroom/pgwire/frame.h - the frames of PostgreSQL's protocol 3, both directions: found in bytes as they arrive, read and written.
//
// Owns: nothing; views into the caller's bytes. Threads: none; pure functions and values.
// Invariants: (1) a length is checked before anything is done with it: 4 <= length <= the caller's limit; (2) no sum of lengths is ever
//   narrower than 64 bits (CVE-2024-27304); (3) a Reader that has failed once answers nothing more and never reads outside of its bytes.
// Limits: the caller's; what is larger than the limit of its type is streamed or refused, never buffered.
//
//   after the start-up:   | type 1 byte | length 4 bytes, itself and the body | body |
//   the start-up packet:  | length 4 bytes | code 4 bytes | body |
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace headroom::pgwire {

inline constexpr std::size_t kHeader = 5;
inline constexpr std::uint32_t kLongest = 0x3fffffff;  // the server's own limit of a message

// What a client sends.
namespace from_client {
inline constexpr char kQuery = 'Q', kParse = 'P', kBind = 'B', kDescribe = 'D', kExecute = 'E',
                      kClose = 'C', kSync = 'S', kFlush = 'H', kFunctionCall = 'F', kCopyData = 'd',
                      kCopyDone = 'c', kCopyFail = 'f', kPassword = 'p', kTerminate = 'X';
}  // namespace from_client

// What a server sends.
namespace from_server {
inline constexpr char kAuthentication = 'R', kParameterStatus = 'S', kBackendKey = 'K',
                      kReady = 'Z', kError = 'E', kNotice = 'N', kNotification = 'A',
                      kRowDescription = 'T', kDataRow = 'D', kCommandComplete = 'C',
                      kEmptyQuery = 'I', kParseComplete = '1', kBindComplete = '2',
                      kCloseComplete = '3', kNoData = 'n', kParameterDescription = 't',
                      kPortalSuspended = 's', kFunctionResult = 'V', kCopyIn = 'G', kCopyOut = 'H',
                      kCopyBoth = 'W', kCopyData = 'd', kCopyDone = 'c', kNegotiate = 'v';
}  // namespace from_server

struct Frame {
  char type = 0;
  std::uint64_t size = 0;  // with its header
  [[nodiscard]] std::uint64_t body() const { return size - kHeader; }
};

enum class Found : std::uint8_t { frame, need_more, bad };

// The frame that begins at bytes[0]. bad: its length is impossible.
[[nodiscard]] Found find_frame(std::string_view bytes, Frame& frame);

[[nodiscard]] std::uint32_t read_u32(const char* at);

// Reads the body of a message.
class Reader {
 public:
  explicit Reader(std::string_view body) : left_(body) {}
  [[nodiscard]] std::uint8_t u8();
  [[nodiscard]] std::uint16_t u16();
  [[nodiscard]] std::uint32_t u32();
  [[nodiscard]] std::string_view text();  // up to its NUL
  [[nodiscard]] std::string_view bytes(std::size_t count);
  [[nodiscard]] std::string_view rest();
  [[nodiscard]] bool failed() const { return failed_; }
  // Whether all was read, and nothing was missing.
  [[nodiscard]] bool done() const { return !failed_ && left_.empty(); }
  [[nodiscard]] std::size_t left() const { return left_.size(); }

 private:
  std::string_view left_;
  bool failed_ = false;
};

// Appends one message to `out`; its length is written at the end of the scope.
class Message {
 public:
  Message(std::string& out, char type) : out_(out), start_(out.size() + 1) {
    out_.push_back(type);
    out_.append(4, '\0');
  }
  // Without a type: a start-up packet.
  explicit Message(std::string& out) : out_(out), start_(out.size()) { out_.append(4, '\0'); }
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;
  ~Message();

  Message& u8(std::uint8_t value);
  Message& u16(std::uint16_t value);
  Message& u32(std::uint32_t value);
  // Bytes up to a first NUL, and a NUL: what comes from people cannot make a second field.
  Message& text(std::string_view value);
  Message& bytes(std::string_view value);

 private:
  std::string& out_;
  const std::size_t start_;
};

}  // namespace headroom::pgwire
