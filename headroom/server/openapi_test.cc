#include "headroom/server/openapi.h"

#include <gtest/gtest.h>

#include "headroom/json/json.h"
#include "headroom/server/database_api.h"
#include "headroom/server/fixture_test.h"

namespace headroom::server {
namespace {

TEST(OpenApi, HasEveryEndpointOnce) {
  testing_rooms::Rooms rooms;
  Api api(rooms.workers, rooms.reading, rooms.control, rooms.registry);
  add_admin_endpoints(api, rooms.sources);
  add_seed_endpoints(api, rooms.sources);
  add_cache_endpoints(api, rooms.sources);
  add_sql_endpoints(api, rooms.sources);
  add_database_endpoints(api, rooms.sources);
  add_cache_entries(api, rooms.sources);
  const std::string text = openapi(api.endpoints());
  auto document = json::parse(text);  // refuses a name that stands twice
  ASSERT_TRUE(document) << document.error().message;
  std::size_t operations = 0;
  document->root().find("paths")->each_member([&](std::string_view path, json::Value methods) {
    EXPECT_EQ(path.find("..."), std::string_view::npos);
    operations += methods.size();
  });
  EXPECT_EQ(operations, api.endpoints().size());
}

}  // namespace
}  // namespace headroom::server
