#include "fixture.hpp"

using namespace engine_test;

TEST_CASE("A container runs, logs, ends, and leaves nothing") {
  Fixture f;
  f.open();
  f.import({busybox_image()});
  std::string s = f.sandbox();
  auto config = Fixture::shell("echo out; echo err >&2; hostname; cat /etc/resolv.conf; echo $FROM_IMAGE-$MINE; exit 7");
  config.env = {{"MINE", "too"}};
  std::string c = f.create(s, config);
  CHECK(f.engine->container_status(c)->state == ContainerState::Created);
  REQUIRE(f.run(f.engine->start_container(c)).is_ok());
  auto status = f.wait_exit(c);
  CHECK(status.exit_code == 7);
  CHECK(status.reason == "Error");
  CHECK(f.output(c) == "out\nerr\nweb-0\nnameserver 10.43.0.10\nyes-too\n");
  CHECK(status.started_at <= status.finished_at);
  auto again = f.run(f.engine->start_container(c));
  CHECK(again.is(Reason::Conflict));
}
