#include "headroom/base/address.h"

#include <gtest/gtest.h>

#include <vector>

namespace headroom {
namespace {

TEST(IpAddress, IsReadAndShown) {
  for (const char* text :
       {"0.0.0.0", "1.2.3.4", "255.255.255.255", "::", "::1", "2001:db8::ff00:42:8329"}) {
    const auto address = IpAddress::parse(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(to_string(*address), text);
  }
  for (const char* text : {"", "1.2.3", "1.2.3.4.5", "01.2.3.4", "256.1.1.1", "1.2.3.4 ", "[::1]",
                           "::1%eth0", "a", ":::", "1.2.3.4:80"}) {
    EXPECT_FALSE(IpAddress::parse(text)) << text;
  }
}

TEST(IpAddress, MappedIsIpv4) {
  EXPECT_EQ(IpAddress::parse("::ffff:1.2.3.4"), IpAddress::parse("1.2.3.4"));
  EXPECT_NE(IpAddress::parse("::1.2.3.4"), IpAddress::parse("1.2.3.4"));
  EXPECT_EQ(IpAddress::parse("1.2.3.4")->bytes().size(), 4U);
}

TEST(IpAddress, KnowsLoopback) {
  EXPECT_TRUE(IpAddress::parse("127.3.2.1")->is_loopback());
  EXPECT_TRUE(IpAddress::parse("::1")->is_loopback());
  EXPECT_FALSE(IpAddress::parse("::")->is_loopback());
  EXPECT_FALSE(IpAddress::parse("128.0.0.1")->is_loopback());
}

TEST(IpAddress, MayStandWithAPort) {
  for (const char* text : {"1.2.3.4", "1.2.3.4:80", "1.2.3.4:0"}) {
    EXPECT_EQ(parse_address_with_port(text), IpAddress::parse("1.2.3.4")) << text;
  }
  for (const char* text : {"::1", "[::1]", "[::1]:65535"}) {
    EXPECT_EQ(parse_address_with_port(text), IpAddress::parse("::1")) << text;
  }
  for (const char* text :
       {"1.2.3.4:", "1.2.3.4:x", "1.2.3.4:65536", "[::1", "[::1]x", "[1.2.3.4]", "a:1", ""}) {
    EXPECT_FALSE(parse_address_with_port(text)) << text;
  }
}

TEST(Cidr, ContainsItsNetwork) {
  struct Row {
    const char* cidr;
    const char* inside;
    const char* outside;
  };
  for (const Row& row : std::vector<Row>{{"10.0.0.0/8", "10.255.0.1", "11.0.0.0"},
                                         {"192.168.4.0/22", "192.168.7.255", "192.168.8.0"},
                                         {"1.2.3.4", "1.2.3.4", "1.2.3.5"},
                                         {"0.0.0.0/0", "9.9.9.9", "2001:db8::1"},
                                         {"::/0", "2001:db8::1", "9.9.9.9"},
                                         {"fc00::/7", "fd00::1", "fa00::1"},
                                         {"2001:db8::1/128", "2001:db8::1", "2001:db8::2"},
                                         {"::ffff:10.0.0.0/104", "10.1.2.3", "11.0.0.0"}}) {
    const auto cidr = Cidr::parse(row.cidr);
    ASSERT_TRUE(cidr) << row.cidr;
    EXPECT_TRUE(cidr->contains(*IpAddress::parse(row.inside))) << row.cidr;
    EXPECT_FALSE(cidr->contains(*IpAddress::parse(row.outside))) << row.cidr;
  }
  EXPECT_EQ(to_string(*Cidr::parse("10.0.0.0/8")), "10.0.0.0/8");
  EXPECT_EQ(to_string(*Cidr::parse("::1")), "::1/128");
}

TEST(Cidr, RefusesTypingErrors) {
  for (const char* text : {"10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "fd00::/129",
                           "fd00::1/64", "x/8", "", "::ffff:0.0.0.0/95"}) {
    EXPECT_FALSE(Cidr::parse(text)) << text;
  }
}

}  // namespace
}  // namespace headroom
