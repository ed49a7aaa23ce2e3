#include "backends/sql/database_names.h"

#include <doctest/doctest.h>

namespace based::sql {
namespace {

TEST_CASE("the database that is to be left is known by the first statement") {
  struct Row {
    const char* text;
    const char* name;
  };
  for (const Row& row : {
           Row{"drop database a", "a"},
           Row{"DROP DATABASE IF EXISTS \"A b\"", "A b"},
           Row{"/* x */ Drop Database Abc WITH (FORCE);", "abc"},
           Row{"alter database a rename to b", "a"},
           Row{"alter database a set tablespace t", "a"},
           Row{"create database b template a", "a"},
           Row{"create database b with owner = o template = \"A\" encoding 'UTF8'", "A"},
           Row{"alter database a set work_mem = '1MB'", ""},
           Row{"create database b", ""},
           Row{"create database b owner o; select 1 template a", ""},
           Row{"drop table a", ""},
           Row{"drop database", ""},
           Row{"drop database if exists", ""},
           Row{"select 'drop database a'", ""},
           Row{"delete from a", ""},
           Row{"alter", ""},
           Row{"create database b template", ""},
           Row{"drop database 'a", ""},
           Row{"", ""},
       }) {
    INFO(row.text);
    CHECK(database_to_leave(row.text) == row.name);
  }
}

}  // namespace
}  // namespace based::sql
