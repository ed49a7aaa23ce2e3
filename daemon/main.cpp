#include <cstdio>

int main() {
  std::puts("based " BASED_VERSION);
  return 0;
}
