// A catalogue of some tables, put together from the answers that a server would give.
#pragma once

#include "headroom/sql/catalogue_rows.h"

namespace headroom::sql {

inline CataloguePointer sample_catalogue() {
  CatalogueRows rows;
  const auto table = [&rows](const char* oid, const char* schema, const char* name,
                             const char* kind, const char* persistence, const char* acts) {
    rows.add_table({oid, schema, name, kind, persistence, "f", acts, "f"});
  };
  table("1259", "pg_catalog", "pg_class", "r", "p", "f");
  table("20001", "public", "rooms", "r", "p", "f");
  table("20002", "public", "child", "r", "p", "f");
  table("20003", "public", "names", "v", "p", "f");
  table("20004", "public", "months", "p", "p", "f");
  table("20005", "public", "january", "r", "p", "f");
  table("20006", "public", "fast", "r", "u", "f");
  table("20007", "public", "watched", "r", "p", "t");
  rows.add_edge({"k", "20001", "20002"});
  rows.add_edge({"v", "20003", "20001"});
  rows.add_edge({"i", "20005", "20004"});
  for (const auto& [name, system, level] : {std::tuple{"upper", "t", "1"},
                                            {"lower", "t", "1"},
                                            {"lower", "f", "3"},
                                            {"count", "t", "1"},
                                            {"to_char", "t", "2"},
                                            {"now", "t", "2"},
                                            {"random", "t", "3"},
                                            {"nextval", "t", "3"},
                                            {"mine", "f", "2"}})
    rows.add_function({name, system, level});
  return rows.make(1, false);
}

}  // namespace headroom::sql
