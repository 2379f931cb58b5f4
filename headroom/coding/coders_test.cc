#include "headroom/coding/coders.h"

#include <gtest/gtest.h>

#include "headroom/coding/codec_checks.h"

namespace headroom::coding {
namespace {

using checks::decode_in_two;
using checks::Decoded;
using checks::encode_piece;

std::string sample_json(std::size_t at_least) {
  Random random(7);
  std::string text = "[";
  while (text.size() < at_least) {
    text += R"({"id":)" + std::to_string(random.below(1000000)) +
            R"(,"status":"confirmed","name":"client )" + std::to_string(random.below(97)) +
            R"("},)";
  }
  text.back() = ']';
  return text;
}
std::string noise(std::size_t size) {
  Random random(3);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random.next());
  return text;
}

class Codec : public testing::TestWithParam<Coding> {
 protected:
  Coding coding() const { return GetParam(); }

  std::string whole(std::string_view body, Effort effort = Effort::live) {
    std::string out;
    EXPECT_TRUE(coders_.encode(coding(), effort, body, out));
    return out;
  }
  // Written as a stream, cut in two.
  std::string streamed(std::string_view body, std::size_t cut, Flush between, std::size_t room) {
    auto lease = coders_.encoder(coding());
    EXPECT_TRUE(lease.has_value());
    std::string out;
    encode_piece(**lease, body.substr(0, cut), between, room, out);
    encode_piece(**lease, body.substr(cut), Flush::end, room, out);
    return out;
  }
  Decoded read(std::string_view bytes, std::size_t cut = 0, std::size_t room = 4096) {
    auto lease = coders_.decoder(coding());
    EXPECT_TRUE(lease.has_value());
    return decode_in_two(**lease, bytes, cut, room);
  }

  Coders coders_{{.decode = {.size = Bytes::mib(16), .allowance = Bytes::mib(1), .ratio = 100}}};
};

TEST_P(Codec, WholeBodyComesBackAtBothEfforts) {
  const std::string body = sample_json(31000);
  for (const Effort effort : {Effort::live, Effort::stored}) {
    const std::string bytes = whole(body, effort);
    EXPECT_LT(bytes.size(), body.size() / 3);
    EXPECT_EQ(read(bytes).body, body);
  }
}

TEST_P(Codec, StreamComesBackWhereverItIsCut) {
  const std::string body = sample_json(600);
  for (std::size_t cut = 0; cut <= body.size(); ++cut) {
    for (const Flush between : {Flush::no, Flush::yes}) {
      const Decoded decoded = read(streamed(body, cut, between, 64));
      ASSERT_TRUE(decoded.fine);
      ASSERT_EQ(decoded.body, body) << cut;
    }
  }
}

TEST_P(Codec, BytesAreReadWhereverTheyAreCut) {
  const std::string body = sample_json(2000);
  const std::string bytes = streamed(body, 700, Flush::yes, 4096);
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    const Decoded decoded = read(bytes, cut, 61);
    ASSERT_TRUE(decoded.fine) << cut;
    ASSERT_EQ(decoded.body, body) << cut;
  }
}

TEST_P(Codec, FlushedEventCanBeReadAtOnce) {
  auto encoder = coders_.encoder(coding());
  auto decoder = coders_.decoder(coding());
  std::string buffer(4096, '\0');
  for (int i = 0; i < 100; ++i) {
    const std::string event = "data: " + std::to_string(i) + " of many\n\n";
    std::string bytes;
    encode_piece(**encoder, event, Flush::yes, 64, bytes);
    const auto step = (*decoder)->step(bytes, buffer);
    ASSERT_TRUE(step.has_value());
    EXPECT_EQ(buffer.substr(0, step->produced), event);
  }
}

TEST_P(Codec, EmptyBodyIsABody) {
  const Decoded decoded = read(streamed("", 0, Flush::no, 64));
  EXPECT_TRUE(decoded.fine);
  EXPECT_EQ(decoded.body, "");
}

TEST_P(Codec, LargeNoisyBodyStreams) {
  const std::string body = noise(300'000) + sample_json(700'000) + noise(1000);
  const Decoded decoded = read(streamed(body, 123'456, Flush::no, 1000), 500, 32768);
  EXPECT_TRUE(decoded.fine);
  EXPECT_TRUE(decoded.body == body);
}

TEST_P(Codec, NoiseIsNotEncodedWhole) {
  std::string out = "before";
  EXPECT_FALSE(coders_.encode(coding(), Effort::live, noise(5000), out));
  EXPECT_FALSE(coders_.encode(coding(), Effort::live, "", out));
  EXPECT_EQ(out, "before");
}

TEST(Coders, WholeBrotliBodyIsGivenUpWhenNobodyWantsItAnyMore) {
  std::atomic<bool> given_up = false;
  Coders::Options options;
  options.given_up = &given_up;
  Coders coders(options);
  const std::string body = sample_json(700'000);
  std::string out = "before";
  EXPECT_TRUE(coders.encode(Coding::br, Effort::stored, body, out));
  given_up = true;
  out = "before";
  EXPECT_FALSE(coders.encode(Coding::br, Effort::stored, body, out));
  EXPECT_EQ(out, "before");
}

TEST_P(Codec, AppendsBehindWhatIsThere) {
  const std::string body = sample_json(2000);
  std::string out = "HEAD";
  ASSERT_TRUE(coders_.encode(coding(), Effort::live, body, out));
  ASSERT_TRUE(out.starts_with("HEAD"));
  std::string back = "HEAD";
  ASSERT_TRUE(coders_.decode(coding(), std::string_view(out).substr(4), Bytes::mib(1), back));
  EXPECT_EQ(back, "HEAD" + body);
}

TEST_P(Codec, EveryCutOffBodyIsNoticed) {
  const std::string bytes = whole(sample_json(2000));
  for (std::size_t size = 1; size < bytes.size(); ++size)
    ASSERT_FALSE(read(bytes.substr(0, size)).fine) << size;
}

TEST_P(Codec, BytesBehindTheEndAreRefused) {
  const std::string bytes = whole(sample_json(2000));
  const Decoded decoded = read(bytes + "junk that is no member");
  EXPECT_FALSE(decoded.fine);
  EXPECT_EQ(decoded.error, Errc::protocol);
}

TEST_P(Codec, TwoMembersAreOneBodyExceptForBrotli) {
  const std::string body = sample_json(2000);
  const std::string bytes = whole(body);
  for (const std::size_t cut : {std::size_t{0}, bytes.size(), bytes.size() + 1}) {
    const Decoded decoded = read(bytes + bytes, cut);
    EXPECT_EQ(decoded.fine, coding() != Coding::br);
    if (decoded.fine) EXPECT_EQ(decoded.body, body + body);
  }
}

TEST_P(Codec, ForeignBytesAreRefused) {
  for (const std::string_view bytes : {"<!doctype html><title>no coding</title>", "{\"a\": 1}"})
    EXPECT_EQ(read(bytes).error, Errc::protocol);
}

TEST_P(Codec, FlippedByteNeverCrashesNorExceedsTheLimits) {
  const std::string bytes = whole(sample_json(3000));
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    std::string wrong = bytes;
    wrong[at] = static_cast<char>(wrong[at] ^ 0x41);
    checks::check_decoder(coding(), wrong);
  }
}

TEST_P(Codec, BombIsStoppedByItsRatio) {
  const std::string bomb = whole(std::string(std::size_t{12} << 20U, '0'));
  const Decoded decoded = read(bomb, 0, 65536);
  EXPECT_EQ(decoded.error, Errc::overloaded);
  EXPECT_LE(decoded.body.size(), (std::size_t{1} << 20U) + 100 * bomb.size() + 65536);
}

TEST_P(Codec, BodyOverTheSizeIsStopped) {
  const std::string bytes = whole(sample_json(100'000));
  std::string out;
  EXPECT_EQ(coders_.decode(coding(), bytes, Bytes::kib(64), out).error().code, Errc::overloaded);
  EXPECT_EQ(out, "");
}

TEST_P(Codec, ContextServesTheNextAfterAnError) {
  const std::string body = sample_json(2000);
  const std::string bytes = whole(body);
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(read("no such thing at all, and some more").fine);
    EXPECT_EQ(read(bytes).body, body);
    {
      auto given_up = coders_.encoder(coding());
    }
    EXPECT_EQ(read(streamed(body, 9, Flush::no, 64)).body, body);
  }
}

TEST_P(Codec, ContextsStayWithinTheMemoryThatTheFaceStates) {
  const std::string body = sample_json(std::size_t{3} << 20U);
  std::string bytes;
  const std::size_t before = coders_.memory_bytes();
  {
    auto lease = coders_.encoder(coding());
    encode_piece(**lease, body, Flush::no, 65536, bytes);
    const std::size_t now = coders_.memory_bytes() - before + (*lease)->memory_bytes();
    RecordProperty("encoder_bytes", static_cast<int>(now));
    EXPECT_LE(now, coding() == Coding::gzip ? 280'000U : 2'000'000U);
    encode_piece(**lease, "", Flush::end, 65536, bytes);
  }
  auto lease = coders_.decoder(coding());
  const std::size_t idle = coders_.memory_bytes();
  const Decoded decoded = decode_in_two(**lease, bytes, 1000, 65536);
  EXPECT_EQ(decoded.body.size(), body.size());
  const std::size_t grown = coders_.memory_bytes() - idle + (*lease)->memory_bytes();
  RecordProperty("decoder_bytes", static_cast<int>(grown));
  EXPECT_LE(grown, 1'000'000U);
}

INSTANTIATE_TEST_SUITE_P(Codings, Codec, testing::Values(Coding::gzip, Coding::br, Coding::zstd),
                         [](const auto& info) { return std::string(to_string(info.param)); });

TEST(Coders, LendAtMostSoMany) {
  Coders coders({.streams = 2});
  auto first = coders.encoder(Coding::zstd);
  auto second = coders.decoder(Coding::gzip);
  EXPECT_EQ(coders.lent(), 2U);
  EXPECT_EQ(coders.encoder(Coding::gzip).error().code, Errc::overloaded);
  first->reset();
  EXPECT_TRUE(coders.encoder(Coding::gzip).has_value());
}

TEST(Coders, IdentityHasNoCodec) {
  Coders coders({});
  EXPECT_EQ(coders.encoder(Coding::identity).error().code, Errc::invalid);
  EXPECT_EQ(coders.decoder(Coding::identity).error().code, Errc::invalid);
  EXPECT_EQ(coders.lent(), 0U);
}

TEST(Coders, BringLevelsIntoRange) {
  const Levels silly{.gzip = 99, .br = -3, .zstd = 1000};
  Coders coders({.live = silly, .stream = silly});
  const std::string body = sample_json(3000);
  for (const Coding coding : {Coding::gzip, Coding::br, Coding::zstd}) {
    std::string out;
    EXPECT_TRUE(coders.encode(coding, Effort::live, body, out));
    EXPECT_TRUE(coders.encoder(coding).has_value());
  }
}

}  // namespace
}  // namespace headroom::coding
