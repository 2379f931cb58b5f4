#include "headroom/websocket/decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "headroom/websocket/decoder_checks.h"
#include "headroom/websocket/deflate.h"

namespace headroom::websocket {
namespace {

using checks::Reading;

constexpr Mask kMask{0x37, 0xfa, 0x21, 0x3d};

// A client's frame.
std::string frame(Opcode opcode, std::string_view payload, Fin fin = Fin::yes) {
  std::string out;
  append_masked_frame(out, opcode, payload, kMask, fin);
  return out;
}
std::string text(std::string_view payload, Fin fin = Fin::yes) {
  return frame(Opcode::text, payload, fin);
}
std::string more(std::string_view payload, Fin fin = Fin::yes) {
  return frame(Opcode::continuation, payload, fin);
}
std::string ping(std::string_view payload = {}) { return frame(Opcode::ping, payload); }
std::string closing(int code, std::string_view reason = {}) {
  std::string payload{static_cast<char>(code >> 8), static_cast<char>(code)};
  return frame(Opcode::close, payload + std::string(reason));
}
// Any two first bytes, then a mask and a payload.
std::string raw(int first, int second, std::string_view rest = {}) {
  return std::string{static_cast<char>(first), static_cast<char>(second)} + std::string(rest);
}

struct Case {
  std::string what;
  std::string bytes;
  std::string seen;
};

// The classes of the Autobahn test suite (1 framing, 2 pings and pongs, 3 reserved bits, 4 opcodes, 5 fragmentation, 6 UTF-8, 7 close
// handling; 9 and 10, sizes, below), as cases of our own.
std::vector<Case> cases() {
  const std::string mask(reinterpret_cast<const char*>(kMask.data()), 4);
  const std::string k125(125, '*');
  const std::string kappa = "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5";
  return {
      // 1
      {"empty text", text(""), "text()"},
      {"text", text("hello"), "text(hello)"},
      {"empty binary", frame(Opcode::binary, ""), "binary()"},
      {"binary of any bytes", frame(Opcode::binary, "\xfe\xff\x80"), "binary(\xfe\xff\x80)"},
      {"two in a row", text("a") + text("b"), "text(a) text(b)"},
      {"half a header", text("hello").substr(0, 3), ""},
      {"half a payload", text("hello").substr(0, 8), ""},
      // 2
      {"ping without payload", ping(), "ping()"},
      {"ping of 125", ping(k125), "ping(125 bytes, " + fmt::format("{:x}", hash64(k125)) + ")"},
      {"ping of 126", raw(0x89, 0x80 | 126, std::string("\0\x7e", 2) + mask), "refused(1002)"},
      {"ping of any bytes", ping("\xff\xfe"), "ping(\xff\xfe)"},
      {"pong nobody asked for", frame(Opcode::pong, "x"), "pong(x)"},
      {"pong, then ping", frame(Opcode::pong, "x") + ping("y"), "pong(x) ping(y)"},
      {"ten pings", ping("1") + ping("2") + ping("3"), "ping(1) ping(2) ping(3)"},
      // 3
      {"RSV1", raw(0xC1, 0x80, mask), "refused(1002)"},
      {"RSV2", raw(0xA1, 0x80, mask), "refused(1002)"},
      {"RSV3", raw(0x91, 0x80, mask), "refused(1002)"},
      {"RSV after a good text", text("a") + raw(0xD1, 0x80, mask), "text(a) refused(1002)"},
      {"RSV on a ping", raw(0xC9, 0x80, mask), "refused(1002)"},
      {"RSV on a close", raw(0xF8, 0x80, mask), "refused(1002)"},
      // 4
      {"opcode 3", raw(0x83, 0x80, mask), "refused(1002)"},
      {"opcode 7", raw(0x87, 0x80, mask), "refused(1002)"},
      {"opcode 11", raw(0x8B, 0x80, mask), "refused(1002)"},
      {"opcode 15", raw(0x8F, 0x80, mask), "refused(1002)"},
      {"opcode 3 after a text", text("a") + raw(0x83, 0x80, mask), "text(a) refused(1002)"},
      // 5
      {"text in two", text("hel", Fin::no) + more("lo"), "text(hello)"},
      {"text in three", text("h", Fin::no) + more("el", Fin::no) + more("lo"), "text(hello)"},
      {"empty pieces", text("", Fin::no) + more("", Fin::no) + more(""), "text()"},
      {"ping within a message", text("a", Fin::no) + ping("p") + more("b"), "ping(p) text(ab)"},
      {"close within a message", text("a", Fin::no) + closing(1000), "close(1000,)"},
      {"ping in pieces", raw(0x09, 0x80, mask) + raw(0x80, 0x80, mask), "refused(1002)"},
      {"close in pieces", raw(0x08, 0x80, mask), "refused(1002)"},
      {"continuation of nothing", more("x"), "refused(1002)"},
      {"continuation of nothing, not last", more("x", Fin::no), "refused(1002)"},
      {"continuation after a whole message", text("a") + more("b"), "text(a) refused(1002)"},
      {"text within a text", text("a", Fin::no) + text("b"), "refused(1002)"},
      {"binary within a text", text("a", Fin::no) + frame(Opcode::binary, "b"), "refused(1002)"},
      // 6
      {"text of Greek", text(kappa), "text(" + kappa + ")"},
      {"a character cut by a frame", text(kappa.substr(0, 1), Fin::no) + more(kappa.substr(1)),
       "text(" + kappa + ")"},
      {"a character that does not end", text(kappa.substr(0, 1)), "refused(1007)"},
      {"a character that does not end, in two frames", text("a", Fin::no) + more("\xce"),
       "refused(1007)"},
      {"a surrogate", text("\xed\xa0\x80"), "refused(1007)"},
      {"overlong", text("\xc0\xaf"), "refused(1007)"},
      {"beyond U+10FFFF", text("\xf4\x90\x80\x80"), "refused(1007)"},
      {"bad in the first frame: the rest is not waited for", text("\xff", Fin::no),
       "refused(1007)"},
      {"bad in the middle of a frame: the rest is not waited for",
       text("a\xff" + std::string(300, 'x')).substr(0, 20), "refused(1007)"},
      {"binary need not be text", frame(Opcode::binary, "a", Fin::no) + more("\xff"),
       "binary(a\xff)"},
      // 7
      {"close without a code", frame(Opcode::close, ""), "close(1005,)"},
      {"close with a code", closing(1000), "close(1000,)"},
      {"close with a reason", closing(1001, "going"), "close(1001,going)"},
      {"close of 125", closing(1000, std::string(123, 'r')).substr(0, 6 + 125),
       "close(1000,123 bytes, " + fmt::format("{:x}", hash64(std::string(123, 'r'))) + ")"},
      {"half a close code", frame(Opcode::close, "\x03"), "refused(1002)"},
      {"nothing is read after a close", closing(1000) + text("a") + raw(0xFF, 0xFF),
       "close(1000,)"},
      {"close reason that is not UTF-8", closing(1000, "\xce\xba\xed\xa0\x80"), "refused(1007)"},
      {"close 3000", closing(3000), "close(3000,)"},
      {"close 4999", closing(4999), "close(4999,)"},
      {"close 0", closing(0), "refused(1002)"},
      {"close 999", closing(999), "refused(1002)"},
      {"close 1004", closing(1004), "refused(1002)"},
      {"close 1005", closing(1005), "refused(1002)"},
      {"close 1006", closing(1006), "refused(1002)"},
      {"close 1015", closing(1015), "refused(1002)"},
      {"close 1100", closing(1100), "refused(1002)"},
      {"close 2999", closing(2999), "refused(1002)"},
      {"close 5000", closing(5000), "refused(1002)"},
      {"close 65535", closing(65535), "refused(1002)"},
      // Masks and lengths
      {"no mask", raw(0x81, 0x01, "x"), "refused(1002)"},
      {"no mask on a ping", raw(0x89, 0x00), "refused(1002)"},
      {"16 bits for 125", raw(0x82, 0x80 | 126, std::string("\0\x7d", 2) + mask), "refused(1002)"},
      {"64 bits for 65535", raw(0x82, 0x80 | 127, std::string("\0\0\0\0\0\0\xff\xff", 8) + mask),
       "refused(1002)"},
      {"the highest bit of 64", raw(0x82, 0x80 | 127, std::string("\x80\0\0\0\0\0\0\0", 8) + mask),
       "refused(1002)"},
      {"a size beyond every memory",
       raw(0x82, 0x80 | 127, std::string("\x7f\xff\xff\xff\xff\xff\xff\xff", 8) + mask),
       "refused(1009)"},
  };
}

TEST(DecoderTest, EveryCaseIsReadTheSameAtEveryCut) {
  for (const Case& one : cases()) {
    for (std::size_t cut = 0; cut <= one.bytes.size(); ++cut) {
      ASSERT_EQ(checks::read_cut(Role::server, one.bytes, cut), one.seen)
          << one.what << ", cut at " << cut;
    }
    Reading slowly(Role::server);
    for (const char& byte : one.bytes) slowly.take({&byte, 1});
    EXPECT_EQ(slowly.seen(), one.seen) << one.what << ", byte by byte";
  }
}

TEST(DecoderTest, EverySizeUpToTheLimitIsReadAndNoneAbove) {
  for (const std::size_t size :
       {0UL, 1UL, 125UL, 126UL, 127UL, 65535UL, 65536UL, checks::kMessageLimit}) {
    std::string payload(size, 'x');
    for (std::size_t i = 0; i < size; ++i) payload[i] = static_cast<char>('a' + i % 26);
    const std::string bytes = text(payload);
    const std::string whole = checks::read_cut(Role::server, bytes, bytes.size());
    const std::string expected = size <= 40
                                     ? "text(" + payload + ")"
                                     : fmt::format("text({} bytes, {:x})", size, hash64(payload));
    EXPECT_EQ(whole, expected) << size;
    for (const std::size_t chunk : {1UL, 7UL, 997UL, 16384UL}) {
      Reading reading(Role::server);
      for (std::size_t at = 0; at < bytes.size(); at += chunk)
        reading.take(std::string_view(bytes).substr(at, chunk));
      EXPECT_EQ(reading.seen(), expected) << size << " in pieces of " << chunk;
    }
  }
}

TEST(DecoderTest, AMessageOverTheLimitIsRefusedBeforeItsBytesAreHeld) {
  EXPECT_EQ(checks::read_cut(Role::server,
                             text(std::string(checks::kMessageLimit + 1, 'x')).substr(0, 14), 14),
            "refused(1009)");
  // Also when only all pieces together are too long.
  const std::string pieces =
      text(std::string(40'000, 'x'), Fin::no) + more(std::string(40'000, 'x'));
  EXPECT_EQ(checks::read_cut(Role::server, pieces, 100), "refused(1009)");
  std::string endless = text("", Fin::no);
  for (int i = 0; i < 70'001; ++i) endless += more("x", Fin::no);
  EXPECT_EQ(checks::read_cut(Role::server, endless, 1000), "refused(1009)");
}

TEST(DecoderTest, AClientTakesOnlyFramesWithoutAMask) {
  std::string bytes;
  append_frame(bytes, Opcode::text, "hel", Fin::no);
  append_frame(bytes, Opcode::continuation, "lo");
  append_close(bytes, 1000, "bye");
  EXPECT_EQ(checks::read_cut(Role::client, bytes, 4), "text(hello) close(1000,bye)");
  EXPECT_EQ(checks::read_cut(Role::client, text("x"), 1), "refused(1002)");
}

TEST(DecoderTest, BetweenMessagesNothingIsHeld) {
  Decoder decoder(Role::server, 100);
  std::string first = text("a", Fin::no);
  std::string second = more("b");
  EXPECT_EQ(decoder.next(first).what, Step::What::more);
  EXPECT_TRUE(decoder.in_message());
  const Step step = decoder.next(second);
  EXPECT_EQ(step.payload, "ab");
  EXPECT_FALSE(decoder.in_message());
}

TEST(FrameTest, ACloseReasonIsCutAtACharacter) {
  std::string out;
  append_close(out, 4000, std::string(122, 'x') + "\xc3\xa9 and more");
  Reading reading(Role::client);
  reading.take(out);
  EXPECT_EQ(reading.seen(),
            fmt::format("close(4000,122 bytes, {:x})", hash64(std::string(122, 'x'))));
}

TEST(FrameTest, MaskingIsTheSameForEveryLengthAndPlace) {
  for (std::size_t size = 0; size < 40; ++size) {
    std::string bytes(size, 'z');
    apply_mask(bytes, kMask);
    for (std::size_t i = 0; i < size; ++i) {
      ASSERT_EQ(static_cast<std::uint8_t>(bytes[i]), static_cast<std::uint8_t>('z') ^ kMask[i % 4]);
    }
  }
}

// Frames that were right until some of their bytes were changed, and bytes that never were: nothing but an answer or a refusal.
TEST(DecoderTest, AHundredThousandMalformedFramesOnlyGetRefused) {
  Random random(20261121);
  const std::vector<Case> seeds = cases();
  std::size_t refused = 0;
  for (int i = 0; i < 100'000; ++i) {
    std::string bytes;
    for (std::uint64_t n = random.below(3); n != std::uint64_t(-1); --n)
      bytes += seeds[random.below(seeds.size())].bytes;
    for (std::uint64_t n = random.below(4) + 1; n > 0 && !bytes.empty(); --n) {
      bytes[random.below(std::min<std::size_t>(bytes.size(), 64))] =
          static_cast<char>(random.next());
    }
    if (random.below(4) == 0) bytes.resize(random.below(bytes.size() + 1));
    const std::string whole = checks::read_cut(Role::server, bytes, bytes.size());
    ASSERT_EQ(checks::read_cut(Role::server, bytes, random.below(bytes.size() + 1)), whole);
    refused += whole.contains("refused") ? 1U : 0U;
  }
  EXPECT_GT(refused, 50'000U);  // so the mutations do reach what is refused
  checks::check_decoder("\x81\x80");
}

std::string deflated_frame(std::string_view text, std::uint8_t first = 0xC1) {
  const auto small = deflate_message(text);
  std::string out;
  append_masked_frame(out, Opcode::text, small.value_or(""), {1, 2, 3, 4});
  out[0] = static_cast<char>(first);
  return out;
}

std::string read_deflated(const std::string& bytes, std::size_t limit = checks::kMessageLimit) {
  checks::Reading reading(Role::server, limit, Compression::deflate);
  reading.take(bytes);
  return reading.seen();
}

TEST(DecoderTest, CompressedMessagesAreInflatedWhereThatWasAgreedOn) {
  const std::string text(300, 'a');
  std::string plain;
  append_masked_frame(plain, Opcode::text, "plain", {1, 2, 3, 4});
  EXPECT_THAT(read_deflated(deflated_frame(text) + plain), ::testing::StartsWith("text(300 bytes"));
  EXPECT_THAT(read_deflated(deflated_frame(text) + plain), ::testing::EndsWith("text(plain)"));
  EXPECT_EQ(checks::read_cut(Role::server, deflated_frame(text), 5), "refused(1002)");
  checks::check_decoder(deflated_frame(text) + plain + deflated_frame(text));
}

TEST(DecoderTest, WhatIsCompressedWronglyIsRefused) {
  EXPECT_EQ(read_deflated(deflated_frame(std::string(5000, 'x')), 1000), "refused(1009)");
  EXPECT_EQ(read_deflated(deflated_frame(std::string(300, '\xff'))), "refused(1007)");
  EXPECT_EQ(read_deflated(deflated_frame(std::string(300, 'x'), 0xA1)), "refused(1002)");  // RSV2
  EXPECT_EQ(read_deflated(deflated_frame(std::string(300, 'x'), 0xC0)),
            "refused(1002)");  // a continuation of nothing
  EXPECT_EQ(read_deflated(deflated_frame(std::string(300, 'x'), 0xC9)),
            "refused(1002)");  // a control frame
  std::string noise;
  append_masked_frame(noise, Opcode::text, "not deflated", {1, 2, 3, 4});
  noise[0] = static_cast<char>(0xC1);
  EXPECT_EQ(read_deflated(noise), "refused(1007)");
}

}  // namespace
}  // namespace headroom::websocket
