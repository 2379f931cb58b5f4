// headroom/http/ranges.h - Range requests answered from a whole stored body (RFC 9110 14): which bytes, Content-Range, multipart/byteranges.
//
// Worker: pure. A Range that we do not read (another unit, malformed, too many or overlapping parts) is ignored: the whole is sent.
// Limits: RangeLimits.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace headroom::http {

struct RangeLimits {
  std::size_t parts = 8;
};

struct ByteRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;  // inclusive

  [[nodiscard]] std::uint64_t size() const { return last - first + 1; }
  bool operator==(const ByteRange&) const = default;
};

struct RangeAnswer {
  enum class Kind : std::uint8_t {
    whole,         // 200, the Range is ignored
    partial,       // 206 with `parts`, in the order asked for
    unsatisfiable  // 416 with content_range_unsatisfiable()
  };
  Kind kind = Kind::whole;
  std::vector<ByteRange> parts;
};

// `range` is the field's value, `size` the length of the whole body.
[[nodiscard]] RangeAnswer parse_range(std::string_view range, std::uint64_t size,
                                      const RangeLimits& limits = {});

// "bytes 0-499/1234", "bytes */1234"
[[nodiscard]] std::string content_range(const ByteRange& part, std::uint64_t size);
[[nodiscard]] std::string content_range_unsatisfiable(std::uint64_t size);

// The framing of several parts (RFC 9110 14.6): for each head(i), then its bytes; then tail().
class Multipart {
 public:
  // `boundary`: up to 70 letters and digits that the body does not contain; random ones will do. `content_type`: of the whole; may be "".
  Multipart(std::vector<ByteRange> parts, std::uint64_t size, std::string_view content_type,
            std::string_view boundary);

  // Of the 206 itself.
  [[nodiscard]] std::string content_type() const;
  [[nodiscard]] std::uint64_t content_length() const;
  [[nodiscard]] const std::vector<ByteRange>& parts() const { return parts_; }
  [[nodiscard]] std::string head(std::size_t i) const;
  [[nodiscard]] std::string tail() const;

 private:
  std::vector<ByteRange> parts_;
  std::uint64_t size_;
  std::string content_type_;
  std::string boundary_;
};

}  // namespace headroom::http
