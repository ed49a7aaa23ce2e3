#include "config/start.h"

#include "config/loader.h"

namespace based {
namespace {

Start refuse(const ConfigProblems& problems, ExitCode code) {
  Start start;
  start.code = code;
  for (const ConfigProblem& problem : problems)
    start.errors += "based: " + format_problem(problem) + "\n";
  if (code == ExitCode::usage) start.errors += "based: --help shows the options\n";
  return start;
}

Start say(std::string text) {
  Start start;
  start.output = std::move(text);
  return start;
}

}  // namespace

Start start(std::span<const char* const> arguments, const Environment& environment,
            std::string_view version) {
  const ParsedCommandLine parsed = parse_command_line(arguments);
  if (!parsed.problems.empty()) return refuse(parsed.problems, ExitCode::usage);
  const CommandLine::Action action = parsed.line.action;
  if (action == CommandLine::Action::help) return say(usage_text());
  if (action == CommandLine::Action::version) return say("based " + std::string(version) + "\n");
  if (action == CommandLine::Action::hash_password) {
    Start start;
    start.hash_iterations = parsed.line.iterations;
    return start;
  }
  LoadedSettings loaded = load_settings(parsed.line, environment);
  if (!loaded.problems.empty()) return refuse(loaded.problems, ExitCode::config);
  if (action == CommandLine::Action::print_config) return say(print_settings(loaded.settings));
  if (action == CommandLine::Action::check_config) return say("the settings are sound\n");
  Start start;
  start.settings = std::move(loaded.settings);
  return start;
}

}  // namespace based
