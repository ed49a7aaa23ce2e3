require "pg"

# With parallel_tests each process has a number, and so a sandbox of its own.
DATABASE = { host: "127.0.0.1", port: ENV.fetch("BASED_PORT", "6432"), user: "postgres",
             dbname: "app#rspec#{ENV['TEST_ENV_NUMBER']}" }.freeze

RSpec.configure do |config|
  config.before(:suite) do
    CONTROL = PG.connect(DATABASE)
    CONTROL.exec("sandbox reset")
    CONTROL.exec("insert into accounts (owner, amount) values ('ann', 100), ('bob', 20)")
    CONTROL.exec("sandbox mark fixtures")
  end
  config.around do |example|
    CONTROL.exec("sandbox reset to fixtures")
    @db = PG.connect(DATABASE) # your application's
    example.run
  ensure
    @db&.close
  end
end
