#include "headroom/http/ranges.h"

#include <gtest/gtest.h>

namespace headroom::http {
namespace {

using Kind = RangeAnswer::Kind;

struct Row {
  std::string_view range;
  Kind kind;
  std::vector<ByteRange> parts{};
  std::uint64_t size = 1000;
};

TEST(RangeField, IsReadAgainstTheSize) {
  for (const Row& row : std::initializer_list<Row>{
           {"bytes=0-499", Kind::partial, {{0, 499}}},
           {"Bytes=0-499", Kind::partial, {{0, 499}}},
           {"bytes=500-", Kind::partial, {{500, 999}}},
           {"bytes=999-", Kind::partial, {{999, 999}}},
           {"bytes=0-99999", Kind::partial, {{0, 999}}},
           {"bytes=-1", Kind::partial, {{999, 999}}},
           {"bytes=-5000", Kind::partial, {{0, 999}}},
           {"bytes=0-0,-1", Kind::partial, {{0, 0}, {999, 999}}},
           {"bytes= 10-19 , 0-4", Kind::partial, {{10, 19}, {0, 4}}},
           {"bytes=0-4,2000-", Kind::partial, {{0, 4}}},
           {"bytes=1000-", Kind::unsatisfiable},
           {"bytes=1000-2000,3000-", Kind::unsatisfiable},
           {"bytes=-0", Kind::unsatisfiable},
           {"bytes=0-", Kind::unsatisfiable, {}, 0},
           {"bytes=-5", Kind::unsatisfiable, {}, 0},
           {"", Kind::whole},
           {"bytes=", Kind::whole},
           {"bytes=-", Kind::whole},
           {"bytes=5-4", Kind::whole},
           {"bytes=a-b", Kind::whole},
           {"bytes=1", Kind::whole},
           {"bytes=0-1-2", Kind::whole},
           {"bytes=0-1,x", Kind::whole},
           {"bytes 0-1", Kind::whole},
           {"items=0-1", Kind::whole},
           {"bytes=+1-2", Kind::whole},
           {"bytes=18446744073709551616-", Kind::whole},
           {"bytes=0-18446744073709551615", Kind::partial, {{0, 999}}},
           {"bytes=0-10,5-20", Kind::whole},
           {"bytes=0-,0-,0-", Kind::whole},
           {"bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16", Kind::whole}}) {
    const RangeAnswer answer = parse_range(row.range, row.size);
    EXPECT_EQ(answer.kind, row.kind) << row.range;
    if (row.kind == Kind::partial) EXPECT_EQ(answer.parts, row.parts) << row.range;
  }
}

TEST(ContentRange, NamesThePartAndTheWhole) {
  EXPECT_EQ(content_range({0, 499}, 1234), "bytes 0-499/1234");
  EXPECT_EQ(content_range_unsatisfiable(1234), "bytes */1234");
}

TEST(Multipart, IsFramedByItsBoundary) {
  const std::string body = "0123456789";
  const Multipart multipart({{0, 1}, {5, 9}}, body.size(), "text/plain", "BOUNDARY");
  std::string out;
  for (std::size_t i = 0; i < multipart.parts().size(); ++i) {
    const ByteRange part = multipart.parts()[i];
    out += multipart.head(i) + body.substr(part.first, part.size());
  }
  out += multipart.tail();
  EXPECT_EQ(out,
            "--BOUNDARY\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01"
            "\r\n--BOUNDARY\r\nContent-Type: text/plain\r\nContent-Range: bytes 5-9/10\r\n\r\n56789"
            "\r\n--BOUNDARY--\r\n");
  EXPECT_EQ(multipart.content_length(), out.size());
  EXPECT_EQ(multipart.content_type(), "multipart/byteranges; boundary=BOUNDARY");
}

}  // namespace
}  // namespace headroom::http
