#include "controller/replica_plan.hpp"

#include <catch2/catch.hpp>

using namespace onebin;
using namespace onebin::controller;

TEST_CASE("a ReplicaSet's failure is told once, until it is over") {
  api::apps::v1::ReplicaSet rs;
  rs.spec.replicas = 3;
  WallTime now{};
  auto first = replica_status(rs, {}, 0, Status(Reason::Forbidden, "pods \"a\": exceeded quota"), now);
  REQUIRE(first.conditions.size() == 1);
  CHECK(first.conditions[0].type == "ReplicaFailure");
  CHECK(first.conditions[0].reason == "FailedCreate");
  rs.status = first;
  CHECK(replica_status(rs, {}, 0, Status(Reason::Forbidden, "pods \"b\": exceeded quota"), now) == first);
  CHECK(replica_status(rs, {}, 0, Status(), now).conditions.empty());
}
