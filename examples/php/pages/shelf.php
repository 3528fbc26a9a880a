<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Tea shop</title>
<h1>Tea shop</h1>
<?php foreach ($shelf as $name => [$article, $amount]) { ?>
<form method="post" action="/orders">
  <button name="article" value="<?= $name ?>"><?= htmlspecialchars($article) ?>: <?= $yen($amount) ?></button>
</form>
<?php } ?>
</html>
