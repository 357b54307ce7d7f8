#include "server/configuration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/flags/reflection.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace twi::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ConfigurationTest : public testing::Test {
 protected:
  /// Sets the flags and reads them, with `arguments` after the environment.
  absl::StatusOr<Configuration> Make(const std::vector<std::string>& arguments) {
    const absl::StatusOr<CommandLine> line = SetFlags(arguments, environment_);
    if (!line.ok()) return line.status();
    words_ = line->words;
    warnings_ = line->warnings;
    return MakeConfiguration(environment_);
  }

  /// The lines of the refusal; none when the arguments are taken.
  std::vector<std::string> Mistakes(const std::vector<std::string>& arguments) {
    const absl::Status status = Make(arguments).status();
    if (status.ok()) return {};
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return absl::StrSplit(status.message(), '\n');
  }

  const absl::FlagSaver saver_;
  Environment environment_{{"HOME", "/home/twi"}};
  std::vector<std::string> words_;
  std::vector<std::string> warnings_;
};

TEST_F(ConfigurationTest, SettingsTellNoSecrets) {
  environment_["TWI_DATA_DSN"] = "host=db password=secret";
  ASSERT_TRUE(Make({"--pool_max=9", "--tls_certificate=/crt", "--tls_key=/key"}).ok());
  const auto settings = Settings();
  EXPECT_EQ(settings.at("pool_max"), "9");
  EXPECT_EQ(settings.at("dsn"), "yes");
  EXPECT_EQ(settings.at("tls_key"), "yes");
  EXPECT_EQ(settings.at("access_file"), "");
}

TEST_F(ConfigurationTest, HasDefaults) {
  const absl::StatusOr<Configuration> made = Make({});
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_FALSE(made->dsn);
  EXPECT_EQ(made->embedded_dir,
            geteuid() == 0 ? "/var/lib/twi-data" : "/home/twi/.local/share/twi-data");
  EXPECT_EQ(made->listen, "127.0.0.1:50051");
  EXPECT_EQ(made->http_listen, "127.0.0.1:9464");
  EXPECT_FALSE(made->insecure);
  EXPECT_FALSE(made->migrate);
  EXPECT_EQ(made->threads, std::max(1u, std::thread::hardware_concurrency() / 2));
  EXPECT_EQ(made->connect_timeout, absl::Seconds(10));
  EXPECT_EQ(made->default_deadline, absl::Seconds(300));
  EXPECT_EQ(made->slow_query, absl::Milliseconds(500));
  EXPECT_EQ(made->max_connection_age, absl::ZeroDuration());
  EXPECT_EQ(made->drain_notice, absl::Seconds(5));
  EXPECT_EQ(made->shutdown_grace, absl::Seconds(10));
  EXPECT_EQ(made->max_message_bytes, 4 << 20);
  EXPECT_EQ(made->log_format, LogFormat::kAuto);
  EXPECT_EQ(made->log_level, LogLevel::kInfo);
}

TEST_F(ConfigurationTest, FlagsAreTakenInEachForm) {
  const absl::StatusOr<Configuration> made =
      Make({"--listen=[::1]:1", "migrate", "--threads", "3", "--migrate", "down", "--noinsecure",
            "--log_format", "json", "--log_level=error", "--slow_query=2s", "--", "--threads=4"});
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->listen, "[::1]:1");
  EXPECT_EQ(made->threads, 3);
  EXPECT_TRUE(made->migrate);
  EXPECT_FALSE(made->insecure);
  EXPECT_EQ(made->log_format, LogFormat::kJson);
  EXPECT_EQ(made->log_level, LogLevel::kError);
  EXPECT_EQ(made->slow_query, absl::Seconds(2));
  EXPECT_THAT(words_, ElementsAre("migrate", "down", "--threads=4"));
}

TEST_F(ConfigurationTest, HelpAndVersionAreTheFirstWord) {
  ASSERT_TRUE(Make({"serve", "--help"}).ok());
  EXPECT_THAT(words_, ElementsAre("help", "serve"));
  ASSERT_TRUE(Make({"-h"}).ok());
  EXPECT_THAT(words_, ElementsAre("help"));
  ASSERT_TRUE(Make({"--version"}).ok());
  EXPECT_THAT(words_, ElementsAre("version"));
}

TEST_F(ConfigurationTest, AFlagWinsOverTheEnvironmentAndThatOverTheDefault) {
  environment_["TWI_DATA_SLOW_QUERY"] = "2s";
  environment_["TWI_DATA_THREADS"] = "7";
  environment_["TWI_DATA_INSECURE"] = "true";
  environment_["TWI_DATA_LISTEN"] = "";
  const absl::StatusOr<Configuration> made = Make({"--threads=2"});
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->slow_query, absl::Seconds(2));
  EXPECT_EQ(made->threads, 2);
  EXPECT_TRUE(made->insecure);
  EXPECT_EQ(made->listen, "127.0.0.1:50051");
  EXPECT_THAT(warnings_, IsEmpty());
}

TEST_F(ConfigurationTest, WarnsOfVariablesThatMeanNothing) {
  environment_["TWI_DATA_SLOW_QUERIES"] = "30";
  environment_["TWI_DATA_FLAGFILE"] = "x";
  environment_["TWI_DATA_PG_BIN"] = "/usr/lib/postgresql/15/bin";
  environment_["TWI_DATA_SERVICE_HOST"] = "10.0.0.1";
  environment_["TWI_DATA_PORT"] = "tcp://10.0.0.1:50051";
  environment_["TWI_DATA_PORT_50051_TCP_ADDR"] = "10.0.0.1";
  ASSERT_TRUE(Make({}).ok());
  EXPECT_THAT(warnings_, ElementsAre("TWI_DATA_FLAGFILE is set and means nothing",
                                     "TWI_DATA_SLOW_QUERIES is set and means nothing"));
}

TEST_F(ConfigurationTest, TellsEveryMistakeOfTheCommandLine) {
  environment_["TWI_DATA_MAX_MESSAGE_BYTES"] = "few";
  EXPECT_THAT(
      Mistakes({"--nothing", "--threads=many", "--flagfile=x", "-v", "--slow_query=500",
                "--log_level=loud", "--nothreads", "--insecure=perhaps", "--listen"}),
      ElementsAre("TWI_DATA_MAX_MESSAGE_BYTES: 'few' is not a number",
                  "--nothing: there is no such flag", "--threads: 'many' is not a number",
                  "--flagfile: there is no such flag", "-v: there is no such flag",
                  "--slow_query: '500' is not a time with its unit, such as 500ms",
                  "--log_level: 'loud' is not one of debug, info, warning, error",
                  "--nothreads: there is no such flag",
                  "--insecure: 'perhaps' is not true or false", "--listen: its value is missing"));
}

TEST_F(ConfigurationTest, APasswordIsNoArgument) {
  for (const char* dsn : {"--dsn=host=db password=secret", "--dsn=postgresql://me:secret@db/twi"}) {
    const std::vector<std::string> mistakes = Mistakes({dsn});
    ASSERT_EQ(mistakes.size(), 1U);
    EXPECT_THAT(mistakes[0], AllOf(HasSubstr("TWI_DATA_DSN"), Not(HasSubstr("secret"))));
  }
  EXPECT_TRUE(Make({"--dsn=host=db passfile=/etc/twi/pgpass"}).ok());
  environment_["TWI_DATA_DSN"] = "host=db password=secret";
  EXPECT_TRUE(Make({}).ok());
}

TEST_F(ConfigurationTest, WhatIsNoConnectionStringIsNotRepeated) {
  environment_["TWI_DATA_DSN"] = "host=db secret";
  EXPECT_THAT(Mistakes({}), ElementsAre("the DSN: it is neither a connection string nor a URI of "
                                        "libpq"));
}

TEST_F(ConfigurationTest, WhoIsSaidMayCallFromAnywhere) {
  EXPECT_TRUE(Make({"--listen=0.0.0.0:1", "--access_file=a"}).ok());
}

TEST_F(ConfigurationTest, TlsIsWhole) {
  EXPECT_THAT(
      Mistakes({"--tls_key=k", "--tls_client_ca=c"}),
      ElementsAre(HasSubstr("--tls_certificate, --tls_key:"), HasSubstr("--tls_client_ca:")));
  EXPECT_THAT(Mistakes({"--tls_certificate=c"}), ElementsAre(HasSubstr("--access_file")));
  EXPECT_TRUE(Make({"--access_file=a"}).ok());
}

TEST_F(ConfigurationTest, TellsEveryValueThatCannotBe) {
  const std::vector<std::string> mistakes =
      Mistakes({"--listen=0.0.0.0:1", "--http_listen=nowhere", "--threads=-1", "--pool_max=5",
                "--pool_min=4", "--max_message_bytes=1023", "--connect_timeout=0s",
                "--default_deadline=-1s", "--slow_query=-1s", "--max_connection_age=-1s",
                "--drain_notice=inf", "--shutdown_grace=25h"});
  const std::vector<std::string> flags = {
      "--listen:",     "--http_listen:",        "--threads:",         "--pool_max:",
      "--pool_min:",   "--max_message_bytes:",  "--connect_timeout:", "--default_deadline:",
      "--slow_query:", "--max_connection_age:", "--drain_notice:",    "--shutdown_grace:"};
  ASSERT_GE(mistakes.size(), flags.size());
  for (size_t i = 0; i < flags.size(); ++i) {
    EXPECT_TRUE(absl::StartsWith(mistakes[i], flags[i])) << mistakes[i];
  }
}

TEST_F(ConfigurationTest, ListeningBeyondLoopbackMustBeMeant) {
  EXPECT_THAT(Mistakes({"--listen=0.0.0.0:1"}), ElementsAre(HasSubstr("--insecure")));
  EXPECT_THAT(Mistakes({"--listen=0.0.0.0:1", "--insecure"}), IsEmpty());
  EXPECT_THAT(Mistakes({"--noinsecure", "--http_listen=0.0.0.0:1", "--listen=127.0.0.1:1"}),
              IsEmpty());
}

class DatabaseTest : public ConfigurationTest {
 protected:
  DatabaseTest() : file_(absl::StrCat(testing::TempDir(), "/dsn.", getpid())) {}
  ~DatabaseTest() override { unlink(file_.c_str()); }

  /// The DSN chosen; "embedded in DIR" for none.
  std::string Database(const std::vector<std::string>& arguments) {
    const absl::FlagSaver saver;
    const absl::StatusOr<Configuration> made = Make(arguments);
    if (!made.ok()) return std::string(made.status().message());
    EXPECT_NE(made->dsn.has_value(), !made->embedded_dir.empty());
    return made->dsn.value_or(absl::StrCat("embedded in ", made->embedded_dir));
  }

  const std::string file_;
};

TEST_F(DatabaseTest, IsTheFirstThatIsNamed) {
  environment_["PGHOST"] = "db";
  EXPECT_EQ(Database({}), "");
  EXPECT_EQ(Database({"--embedded_dir=/d"}), "embedded in /d");

  std::ofstream(file_) << "host=file password=secret\n";
  environment_["TWI_DATA_DSN_FILE"] = file_;
  EXPECT_EQ(Database({}), "host=file password=secret");

  environment_["TWI_DATA_DSN"] = "host=environment";
  EXPECT_EQ(Database({}), "host=environment");
  EXPECT_EQ(Database({"--dsn=host=flag"}), "host=flag");
}

TEST_F(DatabaseTest, IsLibpqsWhenItsVariablesSay) {
  for (const char* name : {"PGHOST", "PGHOSTADDR", "PGDATABASE", "PGSERVICE"}) {
    environment_ = {{"HOME", "/home/twi"}, {name, "x"}};
    EXPECT_EQ(Database({}), "") << name;
  }
  environment_ = {{"HOME", "/home/twi"}, {"PGHOST", ""}, {"PGUSER", "x"}};
  EXPECT_THAT(Database({}), HasSubstr("embedded in "));
}

TEST_F(DatabaseTest, CannotBeTwo) {
  EXPECT_EQ(Database({"--dsn=host=x", "--embedded_dir=/d"}),
            "--embedded_dir and a DSN name two databases: give one of them");
}

TEST_F(DatabaseTest, IsNotGuessedWhenTheFileIsNoUse) {
  environment_["TWI_DATA_DSN_FILE"] = file_;
  EXPECT_EQ(Database({}), absl::StrCat("TWI_DATA_DSN_FILE: '", file_, "' cannot be read"));
  std::ofstream(file_) << "\n";
  EXPECT_EQ(Database({}), absl::StrCat("TWI_DATA_DSN_FILE: '", file_, "' is empty"));
  environment_["TWI_DATA_DSN_FILE"] = testing::TempDir();
  EXPECT_THAT(Database({}), HasSubstr("cannot be read"));
}

TEST_F(DatabaseTest, LivesAtHomeWhenItIsOurOwn) {
  if (geteuid() == 0) {
    EXPECT_EQ(Database({}), "embedded in /var/lib/twi-data");
    return;
  }
  environment_["XDG_DATA_HOME"] = "/data";
  EXPECT_EQ(Database({}), "embedded in /data/twi-data");
  environment_["XDG_DATA_HOME"] = "data";
  EXPECT_EQ(Database({}), "embedded in /home/twi/.local/share/twi-data");
  environment_.clear();
  EXPECT_THAT(Database({}), HasSubstr("--embedded_dir"));
}

TEST(FlagsHelp, HasEveryFlag) {
  const std::string help = FlagsHelp();
  int flags = 0;
  for (const auto& [name, flag] : absl::GetAllFlags()) {
    if (!absl::EndsWith(flag->Filename(), "server/configuration.cc")) continue;
    ++flags;
    EXPECT_THAT(help, HasSubstr(absl::StrCat("\n  --", name, flag->IsOfType<bool>() ? " " : "=")));
  }
  EXPECT_EQ(flags, 29);
  for (const absl::string_view line : absl::StrSplit(help, '\n')) EXPECT_LE(line.size(), 100);
}

TEST(ReadEnvironment, IsTheProcesss) {
  ASSERT_EQ(setenv("TWI_DATA_TEST", "a=b", 1), 0);
  EXPECT_EQ(ReadEnvironment()["TWI_DATA_TEST"], "a=b");
  ASSERT_EQ(unsetenv("TWI_DATA_TEST"), 0);
}

}  // namespace
}  // namespace twi::server
