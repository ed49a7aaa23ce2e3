require_relative "sandbox_helper"

RSpec.describe "accounts" do
  def accounts
    @db.exec("select owner, amount from accounts order by owner").values
  end

  it "are opened" do
    @db.transaction { |db| db.exec("insert into accounts (owner, amount) values ('cem', 0)") }
    expect(accounts).to eq([%w[ann 100], %w[bob 20], %w[cem 0]])
  end

  it "pay one another" do
    @db.transaction do |db|
      db.exec("update accounts set amount = amount - 30 where owner = 'ann'")
      db.exec("update accounts set amount = amount + 30 where owner = 'bob'")
    end
    expect(accounts).to eq([%w[ann 70], %w[bob 50]])
  end

  it "are closed" do
    @db.transaction { |db| db.exec("delete from accounts") }
    expect(accounts).to be_empty
  end

  it "are what they were before the others" do
    expect(accounts).to eq([%w[ann 100], %w[bob 20]])
  end
end
