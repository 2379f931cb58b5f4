#include "headroom/coding/accept.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace headroom::coding {
namespace {

struct Row {
  std::string_view field;
  Coding chosen;
  std::string_view normalised;
};

class AcceptEncoding : public testing::TestWithParam<Row> {};

TEST_P(AcceptEncoding, ChoosesByQualityAndThenByOurOrder) {
  const Preference preference;
  const Accepted said = accepted(GetParam().field);
  EXPECT_EQ(to_string(preference.choose(said)), to_string(GetParam().chosen)) << GetParam().field;
  EXPECT_EQ(preference.normalised(said), GetParam().normalised) << GetParam().field;
}

INSTANTIATE_TEST_SUITE_P(
    Fields, AcceptEncoding,
    testing::Values(
        Row{"", Coding::identity, "identity"}, Row{"identity", Coding::identity, "identity"},
        Row{"gzip", Coding::gzip, "gzip"}, Row{"GZip", Coding::gzip, "gzip"},
        Row{"x-gzip", Coding::gzip, "gzip"}, Row{"gzip, deflate", Coding::gzip, "gzip"},
        Row{"gzip, deflate, br", Coding::br, "br, gzip"},
        Row{"gzip, deflate, br, zstd", Coding::zstd, "zstd, br, gzip"},
        Row{" gzip ,br\t, zstd ", Coding::zstd, "zstd, br, gzip"},
        Row{",,gzip,,", Coding::gzip, "gzip"}, Row{"compress, sdch", Coding::identity, "identity"},
        Row{"gzip;q=1.0, br;q=0.5", Coding::gzip, "br, gzip"},
        Row{"gzip;q=0.999, zstd;q=0.998", Coding::gzip, "zstd, gzip"},
        Row{"gzip ; q=0.3 , br; Q=0.4", Coding::br, "br, gzip"},
        Row{"gzip;q=0", Coding::identity, "identity"}, Row{"gzip;q=0.000, br", Coding::br, "br"},
        Row{"*", Coding::zstd, "zstd, br, gzip"}, Row{"*;q=0", Coding::identity, "identity"},
        Row{"*, zstd;q=0", Coding::br, "br, gzip"}, Row{"gzip, *;q=0", Coding::gzip, "gzip"},
        Row{"*;q=0.1, gzip", Coding::gzip, "zstd, br, gzip"},
        Row{"identity;q=0, gzip", Coding::gzip, "gzip"},
        Row{"identity;q=0", Coding::identity, "identity"},
        Row{"identity, gzip;q=0.5", Coding::identity, "gzip"},
        Row{"identity;q=0.5, gzip;q=0.5", Coding::gzip, "gzip"},
        Row{"gzip, gzip;q=0", Coding::gzip, "gzip"}));

TEST(AcceptEncodingField, ThatIsMalformedCountsAsAbsent) {
  for (const std::string_view field :
       {"gzip;q=2", "gzip;q=1.001", "gzip;q=0.1234", "gzip;q=.5", "gzip;q=", "gzip;q=-1",
        "gzip;level=9", "gzip;q=0.5;x", "gzip br", "gzip, \"br\"", "gzip, ;q=1", "gzip;q=0,5 x",
        "gz\x01ip", "gzip;q = 1"}) {
    EXPECT_EQ(accepted(field), Accepted{}) << field;
  }
}

TEST(Preference, FollowsTheListOfSettings) {
  const std::vector<std::string_view> names{"gzip", "br"};
  const auto preference = Preference::of(names);
  ASSERT_TRUE(preference.has_value());
  EXPECT_EQ(preference->choose(accepted("zstd, br, gzip")), Coding::gzip);
  EXPECT_EQ(preference->normalised(accepted("zstd, br, gzip")), "gzip, br");
  EXPECT_EQ(preference->choose(accepted("zstd")), Coding::identity);
}

TEST(Preference, OfAnEmptyListEncodesNothing) {
  const auto preference = Preference::of({});
  ASSERT_TRUE(preference.has_value());
  EXPECT_EQ(preference->choose(accepted("zstd, br, gzip")), Coding::identity);
  EXPECT_EQ(preference->normalised(accepted("zstd, br, gzip")), "identity");
}

TEST(Preference, SpellsEveryOrderOfEverySet) {
  std::vector<std::string_view> names{"br", "gzip", "zstd"};
  do {
    const auto preference = Preference::of(names);
    ASSERT_TRUE(preference.has_value());
    for (unsigned set = 1; set < 8; ++set) {
      std::string wanted;
      for (unsigned i = 0; i < 3; ++i) {
        if ((set >> i & 1U) != 0) wanted += (wanted.empty() ? "" : ", ") + std::string(names[i]);
      }
      EXPECT_EQ(preference->normalised(accepted(wanted)), wanted);
    }
  } while (std::ranges::next_permutation(names).found);
}

TEST(Preference, RefusesUnknownNamesAndRepetitions) {
  for (const auto& names : std::vector<std::vector<std::string_view>>{
           {"deflate"}, {"identity"}, {"gzip", "gzip"}, {""}}) {
    EXPECT_EQ(Preference::of(names).error().code, Errc::invalid);
  }
}

TEST(SoleCoding, IsKnownOnlyWhenThereIsOne) {
  EXPECT_EQ(sole_coding(""), Coding::identity);
  EXPECT_EQ(sole_coding(" X-GZIP "), Coding::gzip);
  EXPECT_EQ(sole_coding("gzip, br"), std::nullopt);
  EXPECT_EQ(sole_coding("deflate"), std::nullopt);
}

}  // namespace
}  // namespace headroom::coding
