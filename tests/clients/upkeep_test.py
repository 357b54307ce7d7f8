"""`twi-data optimize`, `refresh-views` and `maintain` on a database, as an operator runs them."""

import unittest

import server as program

EX_DATAERR = 65


class Upkeep(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(program.Server())

    def database(self, name):
        """Makes an empty database beside the served one; its connection string."""
        program.query(self.server.dsn, f"create database {name} template template0")
        return f"{self.server.dsn} dbname={name}"

    def works(self, *arguments):
        result = program.run(*arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def test_each_step_once(self):
        dsn = self.database("once")
        lacking = program.run("optimize", "base", f"--dsn={dsn}")
        self.assertEqual(lacking.returncode, EX_DATAERR)
        self.assertIn("run `twi-data migrate up`", lacking.stderr)
        self.works("migrate", "up", f"--dsn={dsn}")

        for name in "base", "additional":
            self.assertIn("\nmade ", self.works("optimize", name, f"--dsn={dsn}"))
            self.assertIn("nothing to do", self.works("optimize", name, f"--dsn={dsn}"))
        self.assertEqual(self.works("refresh-views", f"--dsn={dsn}").count("refreshed "), 6)
        self.works("maintain", f"--dsn={dsn}")
        self.works("migrate", "check", f"--dsn={dsn}")
        self.works("check", f"--dsn={dsn}")

        down = self.works("migrate", "to", "1", f"--dsn={dsn}")
        self.assertIn("dropped the views", down)

    def test_killed(self):
        dsn = self.database("killed")
        self.works("migrate", "up", f"--dsn={dsn}")
        making = ("select count(*) from pg_stat_progress_create_index"
                  " where datname = current_database() and phase like 'waiting%'")
        with program.transaction(dsn, "insert into updates (action) values ('')"):
            with program.start("optimize", "additional", f"--dsn={dsn}") as optimize:
                self.assertTrue(program.eventually(
                    lambda: program.query(dsn, making) == "1", 60))
                optimize.kill()
            # It does not work on in the database, nor keep the lock.
            self.assertTrue(program.eventually(lambda: program.query(dsn, making) == "0", 60))
            half = program.query(dsn, "select indexrelid::regclass from pg_index"
                                      " where not indisvalid")
        text = self.works("optimize", "additional", f"--dsn={dsn}")
        self.assertRegex(text, f"rebuilt +{half} ")
        self.works("migrate", "check", f"--dsn={dsn}")


if __name__ == "__main__":
    unittest.main()
