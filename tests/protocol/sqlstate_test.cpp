#include "protocol/sqlstate.h"

#include <doctest/doctest.h>

namespace based {

TEST_CASE("a SQLSTATE has the condition name of PostgreSQL's Appendix A") {
  CHECK_EQ(condition_name(sqlstate::unique_violation), "unique_violation");
  CHECK_EQ(condition_name(Sqlstate("00000")), "successful_completion");
  CHECK_EQ(condition_name(Sqlstate("XX002")), "index_corrupted");
  CHECK_EQ(condition_name(Sqlstate("22001")), "string_data_right_truncation");
  CHECK_EQ(condition_name(sqlstate::request_skipped), "request_skipped");
}

TEST_CASE("an unknown SQLSTATE has no name") {
  CHECK_EQ(condition_name(Sqlstate("ZZZZZ")), "");
  CHECK_EQ(condition_name(Sqlstate("0000A")), "");
  CHECK_EQ(condition_name(Sqlstate("23506")), "");
}

TEST_CASE("what a peer sends as a SQLSTATE is one, or becomes XX000") {
  CHECK_EQ(Sqlstate::from_peer("23505"), sqlstate::unique_violation);
  for (const char* bad : {"", "2350", "235055", "2350a", "23 05", "2350\xff"}) {
    CHECK_EQ(Sqlstate::from_peer(bad), sqlstate::internal_error);
  }
}

}  // namespace based
