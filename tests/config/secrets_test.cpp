#include "config/secrets.h"

#include <doctest/doctest.h>

#include <string>

using namespace based;

TEST_CASE("the password of a URL is masked and nothing else") {
  CHECK(mask_secrets("postgresql://app:hush@db/app") == "postgresql://app:***@db/app");
  CHECK(mask_secrets("postgresql+asyncpg://app:hush@db:5432/app?sslmode=require") ==
        "postgresql+asyncpg://app:***@db:5432/app?sslmode=require");
  CHECK(mask_secrets("postgresql://app:hush@[::1]:5432/app") ==
        "postgresql://app:***@[::1]:5432/app");
  CHECK(mask_secrets("postgresql://:hush@/app") == "postgresql://:***@/app");
  CHECK(mask_secrets("postgresql://app:@db/app") == "postgresql://app:***@db/app");
}

TEST_CASE("a URL without a password is shown as it is") {
  for (const std::string url :
       {"postgresql://app@db/app", "postgresql://db:5432/app", "postgresql://db:5432",
        "postgresql://h1:5432,h2:5433/app?target_session_attrs=read-write",
        "postgresql://[::1]:5432,[::2]:5433/app", "postgresql:///app?host=/run/pg",
        "postgresql://app@[::1]:5432/app", "postgresql://", "sqlite:///a.db", "sqlite::memory:",
        "postgresql://db:5432/app?options=-c%20a@b", "postgresql://db/app?user=a@b:c"}) {
    CHECK(mask_secrets(url) == url);
    CHECK_FALSE(has_password(url));
  }
}

TEST_CASE("a password among the options of a URL is masked, however its name is written") {
  CHECK(mask_secrets("postgresql://db/app?password=hush&user=app") ==
        "postgresql://db/app?password=***&user=app");
  CHECK(mask_secrets("postgresql://db/app?user=app&pass%77ord=hush") ==
        "postgresql://db/app?user=app&pass%77ord=***");
  CHECK(mask_secrets("postgresql://db/app?PASSWORD=hush") == "postgresql://db/app?PASSWORD=***");
  CHECK(mask_secrets("postgresql://a:one@db/app?sslpassword=two&password=three") ==
        "postgresql://a:***@db/app?sslpassword=***&password=***");
  CHECK(mask_secrets("postgresql://db/app?password=hu=sh?x") == "postgresql://db/app?password=***");
}

TEST_CASE("a conninfo string is masked as libpq reads it") {
  CHECK(mask_secrets("host=db password=hush dbname=app") == "host=db password=*** dbname=app");
  CHECK(mask_secrets("password = 'hu sh' host=db") == "password = *** host=db");
  CHECK(mask_secrets("password='it\\'s a' host=db") == "password=*** host=db");
  CHECK(mask_secrets("password=hu\\ sh host=db") == "password=*** host=db");
  CHECK(mask_secrets("password='never ends") == "password=***");
  CHECK(mask_secrets("password=trail\\") == "password=***");
  CHECK(mask_secrets("dbname=postgresql://x passfile=/p sslpassword=k") ==
        "dbname=postgresql://x passfile=/p sslpassword=***");
  CHECK(mask_secrets("password") == "password");
}

TEST_CASE("of a malformed URL rather too much is masked than a part of the password shown") {
  for (const std::string password :
       {"hush", "hu@sh", "hu/sh", "hu:sh", "hu?sh", "hu?s@sh", "hu#sh", "@hush", "hush@", "h/u@s?h",
        "1/hush", "h u s h", "'hush'", "&hush", "hush%", "h,u:sh", "hu?sh@a/b"}) {
    const std::string masked = mask_secrets("postgresql://app:" + password + "@db/app?sslmode=x");
    CHECK_MESSAGE(masked == "postgresql://app:***@db/app?sslmode=x", password);
    CHECK_MESSAGE(has_password("postgresql://app:" + password + "@db/app"), password);
  }
  CHECK(mask_secrets("postgresql://app:hush/app") == "postgresql://app:***/app");
  CHECK(mask_secrets("http://app:hush@db") == "http://app:***@db");
}

TEST_CASE("every text can be masked") {
  const std::string pieces[] = {"postgresql://",
                                "a",
                                ":",
                                "@",
                                "/",
                                "?",
                                "password=",
                                "&",
                                "'",
                                " ",
                                "=",
                                "%",
                                "[",
                                "]",
                                "\\",
                                ","};
  std::uint32_t seed = 1;
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    for (int i = 0; i < 8; ++i) {
      seed = seed * 1664525 + 1013904223;
      text += pieces[(seed >> 16) % std::size(pieces)];
    }
    CHECK(mask_secrets(text).size() <= text.size() + 8 * secret_mask.size());
  }
}

TEST_CASE("percent escapes are undone where they are whole") {
  CHECK(decode_percent("a%20b%2Fc") == "a b/c");
  CHECK(decode_percent("%41%5a%7A") == "AZz");
  CHECK(decode_percent("100%") == "100%");
  CHECK(decode_percent("%4") == "%4");
  CHECK(decode_percent("%zz%41") == "%zzA");
}
