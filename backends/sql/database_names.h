// Which database of the server has to be left by everybody before a statement can run. Pure.
#pragma once

#include <string>
#include <string_view>

namespace based::sql {

// Of DROP DATABASE, ALTER DATABASE ... RENAME or SET TABLESPACE, and CREATE DATABASE ... TEMPLATE,
// where PostgreSQL's text begins with one: the folded name. Else empty. Cheap where it begins with
// another letter.
std::string database_to_leave(std::string_view text);

}  // namespace based::sql
