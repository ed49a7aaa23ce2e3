// The daemon's beginning: settings, then everything in the order in which it depends on each other,
// then the loop.
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>

#include "config/start.h"
#include "daemon/hash_password.h"
#include "daemon/native/front_end.h"
#include "daemon/open_databases.h"
#include "daemon/postgres/front_end.h"
#include "daemon/process_limits.h"
#include "daemon/sandbox_command.h"
#include "daemon/server.h"
#include "daemon/stderr_log.h"
#include "daemon/translation.h"
#include "daemon/uv_reactor.h"

namespace based {
namespace {

// Descriptors that are not clients': links, files, libuv's own. What is left may be clients, and
// those that are told that there are too many.
constexpr std::size_t descriptors_reserved = 256;

std::optional<std::string> environment_variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

// More clients than descriptors would be turned away by the kernel, without a word.
ServerOptions server_options_within(const ServerSettings& settings, std::size_t descriptors,
                                    Log& log) {
  ServerOptions options = server_options(settings);
  if (descriptors <= 2 * descriptors_reserved) return options;
  const std::size_t clients_max = clients_within(descriptors - descriptors_reserved);
  if (clients_max >= options.clients.clients_max) return options;
  log.write(LogLevel::warning,
            fmt::format("server: max_clients is {} and not {}: {} files may be open at once",
                        clients_max, options.clients.clients_max, descriptors));
  options.clients.clients_max = clients_max;
  return options;
}

ExitCode run_server(const Settings& settings, UvReactor& reactor, Log& log,
                    DatabaseDirectory& databases) {
  const Users known = users(settings);
  native::NativeFrontEnd native(native_limits(settings.server, settings.databases.front()),
                                databases, known, reactor, log);
  postgres::PostgresFrontEnd postgres(postgres_limits(settings.server), databases, known, reactor,
                                      log);
  Server server(server_options_within(settings.server, raise_descriptor_limit(), log), reactor, log,
                databases, {.native = native, .postgres = postgres});
  native.set_status_source([&server] { return server.status(); });
  if (auto listening = server.listen(); !listening) {
    log.write(LogLevel::error, listening.error().message);
    server.stop("it cannot listen");
    server.run();
    return ExitCode::unavailable;
  }
  server.run();
  return ExitCode::ok;
}

int serve(const Settings& settings) {
  StderrLog log(log_level(settings.server.log_level));
  for (const std::string& warning : settings.warnings) log.write(LogLevel::warning, warning);
  UvReactor reactor;
  ExitCode code = ExitCode::config;
  {
    DatabaseDirectory databases;
    if (auto opened = open_databases(settings, reactor, log, databases); opened) {
      code = run_server(settings, reactor, log, databases);
    } else {
      log.write(LogLevel::error, opened.error().message);
    }
  }
  reactor.close();
  return static_cast<int>(code);
}

int run(std::span<const char* const> arguments) {
  if (!arguments.empty() && std::string_view(arguments[0]) == "sandbox")
    return sandbox_command(arguments.subspan(1));
  const Start begun = start(arguments, environment_variable, BASED_VERSION);
  std::fputs(begun.output.c_str(), stdout);
  std::fputs(begun.errors.c_str(), stderr);
  if (begun.hash_iterations) return hash_password(*begun.hash_iterations);
  if (!begun.settings) {
    const bool written = std::fflush(stdout) == 0;
    return static_cast<int>(written ? begun.code : ExitCode::internal);
  }
  forget_postgres_environment();
  return serve(*begun.settings);
}

}  // namespace
}  // namespace based

int main(int argc, char** argv) {
  const auto count = static_cast<std::size_t>(argc > 0 ? argc - 1 : 0);
  return based::run({argv + (argc > 0 ? 1 : 0), count});
}
